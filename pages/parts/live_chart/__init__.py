"""A plotly chart that stays alive: data stream into one graph, and nothing the viewer did is lost.

`st.plotly_chart` builds a new chart whenever its data change. Here one plotly.js graph lives as long as its
element on the page, and every call only hands it new data (`Plotly.react`). Invariants:

- Zoom, hidden traces, hover and the DOM element survive any number of calls, as long as
  `layout.uirevision` stays the same. A new uirevision (another run) starts with a fresh view.
- Log scale and smoothing are the viewer's: applied in the browser, remembered there per chart key.
- Charts of a group have one crosshair: where the pointer is in one of them, the others show their values, too.
- plotly.js (5 MB) comes from the app's own static folder, once a page: never inline, never from a CDN.
- Colours of text and lines come from the theme through CSS, so a theme switch needs no new data.
"""

import functools
import importlib.metadata
import json
import math
import os
import shutil
import tempfile
from importlib import resources
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
# Streamlit serves the folder `static` beside the main script as app/static (server.enableStaticServing).
_STATIC = _HERE.parents[2] / "static"

_mount = st.components.v2.component(
    "live_chart",
    css=(_HERE / "live_chart.css").read_text(encoding="utf-8"),
    js=(_HERE / "live_chart.js").read_text(encoding="utf-8"),
    isolate_styles=False,  # plotly puts its own style sheet into the document, which a shadow root would hide
)


def live_chart(figure: dict, *, key: str, height: int = 300) -> None:
    """Draw `figure`, or update it in place if the chart `key` is already on the page.

    `figure` is {"data": [...], "layout": {...}} in plotly's JSON schema: plain lists and numbers, no arrays.
    A number that is not finite leaves a gap. Beyond plotly's own meaning:

    - `layout.uirevision` names what is shown; give a trace a `uid` if traces may come, go or change places.
    - `layout.meta.log` true offers a log scale for the y axis; `layout.meta.label` is read out for the chart.
    - `layout.meta.heading` stands over the chart, in the line of the tools, and takes the place of the axes' titles.
    - `layout.meta.group`: charts with the same one have the same x axis, and a crosshair in common.
    - a trace with `meta: {"smooth": true}` follows the smoothing slider; `meta.end` is the name at its last point, a
      click on which hides the line; `meta.best` is a point's place and the words beside it.
    - where a line of a chart with a heading is above the y axis, there is a mark at its top.

    `height` in pixels is reserved at once, toolbar included.
    """
    _mount(
        key=key,
        height=height,
        # One string: Streamlit would otherwise serialise the whole figure twice, and let NaN through,
        # which no browser parses.
        data={"key": key, "plotly": _serve_plotly(), "figure": _to_json(figure)},
    )


def load_plotly() -> None:
    """Have the browser load plotly.js, before there is a chart."""
    _mount(key="plotly", height=1, data={"plotly": _serve_plotly()})


def _to_json(figure: dict) -> str:
    try:
        return json.dumps(figure, allow_nan=False, separators=(",", ":"))
    except ValueError:  # a diverged run; only then is the walk through every number worth its time
        return json.dumps(_finite(figure), allow_nan=False, separators=(",", ":"))


def _finite(value):
    """Return `value` with every number that is not finite replaced by None, at any depth."""
    match value:
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


@functools.cache
def _serve_plotly() -> str:
    """Put plotly.js into the static folder unless it is there, and return its file name."""
    target = _STATIC / f"plotly-{importlib.metadata.version('plotly')}.min.js"
    with resources.as_file(resources.files("plotly") / "package_data" / "plotly.min.js") as source:
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            _STATIC.mkdir(exist_ok=True)
            # Another process may copy or serve it meanwhile: the file must never be seen half-written.
            handle, partial = tempfile.mkstemp(dir=_STATIC, suffix=".partial")
            os.close(handle)
            shutil.copyfile(source, partial)
            Path(partial).chmod(0o644)  # mkstemp's files are for their owner alone
            Path(partial).replace(target)
    return target.name
