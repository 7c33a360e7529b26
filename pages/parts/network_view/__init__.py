"""The network as one live picture, on a canvas of its own: see `message` for what is sent, network_view.js for what is
drawn.

- The element lives as long as its key is on the page; what is sent changes what is drawn on it, and nothing else.
- Where a thing stands hangs on the architecture and the room alone: nothing moves while it learns.
- The browser owns which sample is asked for and which unit is open; the page reads both and owns the answers.
"""

import functools
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from dlcore.inside.anatomy import Anatomy
from pages.parts.network_view.message import message
from pages.parts.state.tab import widget

HERE = Path(__file__).parent
STATIC = HERE.parents[2] / "static"  # which Streamlit serves as app/static

HTML = """
<div class="network">
  <div class="stage"><canvas tabindex="0" role="img"></canvas></div>
  <div class="foot">
    <button type="button" class="back" aria-label="Sample before" title="Sample before">‹</button>
    <span class="which"></span>
    <button type="button" class="next" aria-label="Next sample" title="Next sample">›</button>
    <span class="told"></span>
  </div>
</div>
"""

_component = st.components.v2.component(
    "network_view",
    html=HTML,
    css=(HERE / "network_view.css").read_text(encoding="utf-8"),
    js=(HERE / "loader.js").read_text(encoding="utf-8"),
)


class Chosen(NamedTuple):
    """What the person looks at; from a browser, and so not to be trusted."""

    sample: object  # a place in the validation part
    opened: object  # [layer's name, unit's number], or None


def network_view(anatomy: Anatomy, *, key: str, height: int, chosen: Chosen) -> Chosen:
    """Draw a network, or draw anew what is on the page under this key; what the person chose on it.

    `chosen` is where it begins when it is mounted.
    """
    known = chosen_on(key) or chosen
    result = _component(
        key=key,
        height=height,
        data={
            "script": _serve(),
            "network": json.dumps(message(anatomy), separators=(",", ":")),
            "opened": known.opened,
        },
        default={"sample": chosen.sample, "opened": chosen.opened},
        on_sample_change=lambda: None,  # these declare the state; there is nothing to do
        on_opened_change=lambda: None,
    )
    return Chosen(result.sample, result.opened)


def chosen_on(key: str) -> Chosen | None:
    """What was chosen on a view, before it is drawn in this run of the page; None where there is none."""
    state = widget(key)
    return Chosen(state.get("sample", 0), state.get("opened")) if state else None


@functools.cache
def _serve() -> str:
    """Put the script into the static folder unless it is there, under a name that changes with it; that name."""
    script = "\n".join(
        (HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("network_view", "layout", "drawing")
    )
    target = STATIC / f"network-view-{hashlib.sha256(script.encode()).hexdigest()[:12]}.js"
    if not target.exists():
        STATIC.mkdir(exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=STATIC, suffix=".partial")  # never to be seen half-written
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(script)
        Path(partial).chmod(0o644)  # mkstemp's files are for their owner alone
        Path(partial).replace(target)
    return target.name
