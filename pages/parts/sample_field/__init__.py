"""A field of samples: each shows what the network says of it, right or wrong, and can be picked.

The browser builds the tiles once for a sheet of pictures; an update changes what stands on them, and moves nothing.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from pages.parts.state.tab import widget

HERE = Path(__file__).parent

_component = st.components.v2.component(
    "sample_field",
    css=(HERE / "sample_field.css").read_text(encoding="utf-8"),
    js=(HERE / "sample_field.js").read_text(encoding="utf-8"),
)


def sheet(pictures: np.ndarray, columns: int) -> str:
    """Pictures (N, H, W, C) uint8 side by side in rows, as a data URI."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    whole = np.zeros((rows * columns, height, width, channels), np.uint8)
    whole[:count] = pictures
    tiled = whole.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    tiled = tiled.reshape(rows * height, columns * width, channels)
    file = io.BytesIO()
    Image.fromarray(tiled.squeeze(-1) if channels == 1 else tiled).save(file, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def sample_field(
    pictures: str, columns: int, right: Sequence[str], answers: Sequence[str] | None, picked: int, *, key: str
) -> int:
    """Draw the tiles of a `sheet`; returns the one that is picked, counted from 0.

    `right`: what each sample is; `answers`: what the network says, None before it says anything. `picked` is marked
    until a person picks another one.
    """
    known = widget(key, {}).get("picked", picked)
    result = _component(
        key=key,
        data={"sheet": pictures, "columns": columns, "right": right, "answers": answers, "picked": known},
        default={"picked": picked},
        on_picked_change=lambda: None,  # declares the state; the run that follows reads it
    )
    return result.picked
