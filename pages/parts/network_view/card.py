"""A unit from nearby, as HTML: what it looks at, how often it answers how much, and what excites it most.

Pure. Signed numbers are blue above zero and orange below, and as faint as they are small: on either ground.
"""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from dlcore.inside.anatomy import Unit
from pages.parts.network_view.message import number, scale_of

POSITIVE, NEGATIVE = (35, 129, 196), (230, 159, 0)
SIDE = 112  # px of the large pictures
MOST_FILTERS = 16  # of a filter's channels that are shown

STYLE = """<style>
.unit { font-variant-numeric: tabular-nums; font-size: 0.85rem; }
.unit h4 { margin: 0 0 0.5rem; padding: 0; font-size: 1rem; font-weight: 600; }
.unit h4 small { margin-left: 0.5em; font-size: 0.85rem; font-weight: 400; opacity: 0.7; }
.unit .parts { display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; }
.unit figure { margin: 0; }
.unit figcaption { margin-bottom: 0.25rem; opacity: 0.7; }
.unit img { image-rendering: pixelated; border: 1px solid rgb(128 128 128 / 35%); display: block; }
.unit .row { display: flex; flex-wrap: wrap; gap: 4px; max-width: 30rem; }
.unit .row figcaption { margin: 0; text-align: center; font-size: 0.75rem; }
.unit .bars { display: flex; align-items: flex-end; gap: 1px; width: 13rem; height: 7rem; }
.unit .bars { border-bottom: 1px solid rgb(128 128 128 / 60%); }
.unit .bars i { flex: 1; background: rgb(128 128 128 / 60%); min-height: 0; }
.unit .bars i.here { background: #2381C4; }
.unit .ends { display: flex; justify-content: space-between; opacity: 0.7; width: 13rem; }
</style>"""


def card(unit: Unit, classes: Sequence[str]) -> str:
    """`classes`: the names of the data's classes, none for numbers."""
    last = float(unit.activation.max() if unit.activation.ndim == 2 else np.ravel(unit.activation)[-1])
    bias = "" if unit.bias is None else f"<small>bias {number(unit.bias)}</small>"
    head = f"{html.escape(unit.title)}, unit {unit.number + 1}"
    parts = [
        _figure("Its weights", _weights(unit.weights)),
        _figure(f"On this sample: {number(last)}", _signed(unit.activation)) if unit.activation.ndim else "",
        _histogram(unit, last),
        _exciting(unit, classes),
    ]
    return f'{STYLE}<div class="unit"><h4>{head}{bias}</h4><div class="parts">{"".join(parts)}</div></div>'


def _figure(caption: str, inner: str) -> str:
    return f"<figure><figcaption>{html.escape(caption)}</figcaption>{inner}</figure>" if inner else ""


def _weights(weights: np.ndarray) -> str:
    """Of a filter a tile for each channel, in one scale."""
    if weights.ndim < 3:
        return _signed(weights)
    scale, shown = scale_of(weights), weights[:MOST_FILTERS]
    side = SIDE if len(shown) == 1 else SIDE // 2 if len(shown) <= 4 else SIDE // 4
    tiles = "".join(_signed(channel, scale, side) for channel in shown)
    more = f"<span>first {len(shown)} of {len(weights)}</span>" if len(weights) > len(shown) else ""
    return f'<div class="row" style="max-width:{4 * (SIDE // 4 + 8)}px">{tiles}{more}</div>'


def _signed(values: np.ndarray, scale: float | None = None, side: int = SIDE) -> str:
    """Numbers as a picture, a row for each row; a single row becomes a strip."""
    rows = np.atleast_2d(values)
    shares = np.nan_to_num(rows / (scale or scale_of(rows)), nan=0, posinf=1, neginf=-1).clip(-1, 1)
    picture = np.empty((*rows.shape, 4), np.uint8)
    picture[..., :3] = np.where(shares[..., None] < 0, NEGATIVE, POSITIVE)
    picture[..., 3] = np.rint(np.abs(shares) * 255)
    if len(rows) == 1:
        return _image(picture, "RGBA", 2 * SIDE, 20)
    return _image(picture, "RGBA", side * (1 if rows.shape[0] == rows.shape[1] else 2), side)


def _image(pixels: np.ndarray, mode: str, width: int, height: int) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels, mode).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" width="{width}" height="{height}" src="data:image/png;base64,{data}">'


def _histogram(unit: Unit, here: float) -> str:
    if not unit.counts.sum():
        return ""
    most = unit.counts.max()
    place = int(np.clip(np.searchsorted(unit.edges, here, "right") - 1, 0, len(unit.counts) - 1))
    bars = "".join(
        f'<i class="{"here" if at == place else ""}" style="height:{count / most:.1%}" '
        f'title="{count} samples: {number(low)} to {number(high)}"></i>'
        for at, (count, low, high) in enumerate(zip(unit.counts, unit.edges, unit.edges[1:], strict=False))
    )
    silent = float((unit.values == 0).mean())
    told = f"On {len(unit.values)} validation samples"
    if silent == 1:
        told += ": always 0, it is dead"
    elif silent:
        told += f": 0 on {silent:.0%}".replace("%", " %")
    ends = f'<div class="ends"><span>{number(unit.edges[0])}</span><span>{number(unit.edges[-1])}</span></div>'
    return _figure(told, f'<div class="bars">{bars}</div>{ends}')


def _exciting(unit: Unit, classes: Sequence[str]) -> str:
    named = [classes[int(target)] if classes else number(float(np.ravel(target)[0])) for target in unit.targets]
    if unit.inputs.ndim == 4:
        tiles = "".join(
            f"<figure>{_picture(picture)}<figcaption>{html.escape(name)}</figcaption></figure>"
            for picture, name in zip(unit.inputs, named, strict=True)
        )
        return _figure("What excites it most", f'<div class="row">{tiles}</div>')
    rows = zip(unit.inputs.reshape(len(unit.inputs), -1), named, strict=True)
    lines = (
        f"({', '.join(map(number, values[:4]))}{', …' if len(values) > 4 else ''}) {name}" for values, name in rows
    )
    return _figure("What excites it most", "<br>".join(map(html.escape, lines)))


def _picture(picture: np.ndarray) -> str:
    levels = np.moveaxis(np.rint(np.nan_to_num(picture).clip(0, 1) * 255).astype(np.uint8), 0, -1)
    grey = levels.shape[-1] != 3
    return _image(levels[..., 0] if grey else levels, "L" if grey else "RGB", 44, 44)
