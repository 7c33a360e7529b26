"""A pad to draw a digit on, which tells the server its strokes while the pen is still down.

The browser owns the drawing: the pad's elements are built once, its state lives there, and what the server sends
back is read only when the pad is mounted. So a run of the script, however ill-timed, never disturbs the pen.
The server owns the limits and never trusts what comes: `dlcore.inside.drawing` checks it.

Messages do not pile up when the server is slow. At most ten a second are sent, each holds the whole drawing,
and Streamlit folds all that arrive during a run into one, the newest.
"""

from pathlib import Path

import streamlit as st

from dlcore.inside.drawing import MOST_POINTS, MOST_STROKES
from pages.parts.state.tab import widget

HERE = Path(__file__).parent

HTML = """
<div class="pad">
  <div class="paper">
    <canvas tabindex="0" role="img" aria-label="Drawing pad"></canvas>
    <span class="hint" aria-hidden="true">Draw a digit here</span>
  </div>
  <div class="pen">
    <label for="width" title="How thick the next stroke is">Pen width</label>
    <input id="width" type="range" min="0.03" max="0.16" step="0.005" value="0.08">
    <span class="nib" aria-hidden="true"><span></span></span>
  </div>
  <div class="buttons">
    <button type="button" class="undo" title="Take back the last stroke or Clear (Ctrl+Z)">Undo</button>
    <button type="button" class="clear" title="Empty the pad">Clear</button>
  </div>
</div>
"""

_component = st.components.v2.component(
    "drawing_pad",
    html=HTML,
    css=(HERE / "drawing_pad.css").read_text(encoding="utf-8"),
    js=(HERE / "drawing_pad.js").read_text(encoding="utf-8"),
)


def drawing_pad(*, key: str, strokes: list | None = None) -> list:
    """The strokes on the pad now, in the form that `dlcore.inside.drawing.parse` checks; not checked here.

    `strokes` is what the pad shows when it is mounted. It is ignored from then on, for as long as the page keeps
    a pad under this key: to put another drawing on the pad, give the pad another key.
    """
    known = widget(key, {}).get("strokes", strokes or [])
    result = _component(
        key=key,
        # Read at mount only, yet kept up to date: a pad can be mounted again without leaving the page.
        data={"strokes": known, "mostStrokes": MOST_STROKES, "mostPoints": MOST_POINTS},
        default={"strokes": strokes or []},
        on_strokes_change=lambda: None,  # declares the state; there is nothing to do
    )
    return result.strokes
