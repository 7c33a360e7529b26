"""Samples with what is to be said of each, as plain HTML. All text is escaped."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

STRIP = "display:flex;flex-wrap:wrap;gap:8px;font-variant-numeric:tabular-nums;"
PICTURE = "width:72px;height:72px;image-rendering:pixelated;border:1px solid rgb(128 128 128 / 40%);display:block;"
WORDS = "font-size:0.75rem;line-height:1.3;max-width:76px;overflow-wrap:anywhere;"


def strip(pictures: np.ndarray, told: Sequence[Sequence[str]]) -> str:
    """Pictures (N, H, W, C) uint8 in a row that wraps, with lines of text below each."""
    figures = "".join(
        f'<figure style="margin:0"><img style="{PICTURE}" alt="{html.escape(", ".join(lines))}" src="{_source(one)}">'
        f'<figcaption style="{WORDS}">{"<br>".join(map(html.escape, lines))}</figcaption></figure>'
        for one, lines in zip(pictures, told, strict=True)
    )
    return f'<div class="samples" style="{STRIP}">{figures}</div>'


def _source(picture: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
