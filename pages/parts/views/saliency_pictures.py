"""Pictures of what an answer hangs on: signed maps over what was looked at, and bars for features. Pure."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dlcore.inside.saliency import Saliency
from pages.parts.charts import rounded

FOR, AGAINST, NOTHING = "#2381C4", "#E69F00", "#8C8C8C"
MOST_BARS = 20
SIDE = 208  # pixels
ROW = "display:flex;flex-wrap:wrap;gap:16px;font-variant-numeric:tabular-nums;"
PICTURE = (
    f"width:{SIDE}px;height:{SIDE}px;object-fit:contain;image-rendering:pixelated;display:block;"
    "border:1px solid rgb(128 128 128 / 40%);"
)
WORDS = f"font-size:0.85rem;line-height:1.3;margin-top:4px;max-width:{SIDE}px;overflow-wrap:anywhere;"


def maps_html(found: Saliency, told: str) -> str:
    """What was looked at (`told` says what it is), the network's map, and that of random weights."""
    pictured = found.raw.ndim == 3
    raw = found.raw if pictured else None
    shown = (
        (_source(_plain(found.raw)), told),
        (_source(overlay(found.map, raw)), "this network"),
        (_source(overlay(found.untrained, raw)), "the same network with random weights"),
    )
    figures = "".join(
        f'<figure style="margin:0"><img style="{PICTURE}" alt="{html.escape(words)}" src="{source}">'
        f'<figcaption style="{WORDS}">{html.escape(words)}</figcaption></figure>'
        for source, words in shown
    )
    return f'<div class="saliency" style="{ROW}">{figures}</div>'


def overlay(values: np.ndarray, raw: np.ndarray | None = None) -> np.ndarray:
    """A signed map (H, W) as (H, W, 4) uint8: what is nothing cannot be seen, the largest is solid. Below it, faintly,
    the picture (C, H, W) in 0..1. Of a series (steps, channels) time goes to the right.
    """
    values = np.nan_to_num(values if raw is not None else values.T)
    strength = np.abs(values) / max(float(np.abs(values).max()), 1e-12)
    inks = [np.array([int(ink[place : place + 2], 16) for place in (1, 3, 5)]) for ink in (FOR, AGAINST)]
    colours = np.where((values > 0)[..., None], *inks)
    below = 0.35 * raw.mean(0).clip(0, 1) if raw is not None else np.zeros_like(strength)
    below = below * (1 - strength)
    alpha = strength + below
    mixed = (colours * strength[..., None] + 128.0 * below[..., None]) / np.maximum(alpha, 1e-12)[..., None]
    return np.concatenate([mixed, alpha[..., None] * 255], -1).round().clip(0, 255).astype(np.uint8)


def bars_figure(found: Saliency, names: Sequence[str]) -> dict:
    """A bar for each feature, and a grey one of random weights; of many the strongest."""
    order = np.argsort(-np.abs(found.map), kind="stable")[:MOST_BARS]
    labels = [f"{html.escape(names[at], quote=False)} = {found.raw[at]:.4g}" for at in order]
    bars = [
        {
            "type": "bar",
            "uid": f"saliency-{place}",
            "orientation": "h",
            "name": name,
            "x": rounded(values[order]),
            "y": labels,
            "marker": {"color": [ink if value >= 0 else other for value in values[order]]},
            "hovertemplate": "%{y}: %{x:.4g}<extra></extra>",
        }
        for place, (name, values, ink, other) in enumerate(
            (("this network", found.map, FOR, AGAINST), ("random weights", found.untrained, NOTHING, NOTHING))
        )
    ]
    layout = {
        "uirevision": "saliency",
        "hovermode": "closest",
        "barmode": "group",
        "xaxis": {"title": {"text": "speaks against ← → speaks for"}, "zeroline": True},
        "yaxis": {"type": "category", "autorange": "reversed"},
        "meta": {"label": "How much each feature speaks for the answer"},
    }
    return {"data": bars, "layout": layout}


def _plain(raw: np.ndarray) -> np.ndarray:
    """A picture (C, H, W), or a series (steps, channels) with each channel from its least to its most."""
    if raw.ndim == 3:
        picture = raw.transpose(1, 2, 0)
        picture = picture[..., 0] if picture.shape[-1] == 1 else picture[..., :3]
    else:
        least, most = raw.min(0), raw.max(0)
        picture = ((raw - least) / np.maximum(most - least, 1e-12)).T
    return (picture * 255).round().clip(0, 255).astype(np.uint8)


def _source(picture: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
