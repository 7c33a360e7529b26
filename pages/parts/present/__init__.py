"""Present: larger type, and no settings beside it, for those who look from afar. The browser alone does it."""

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "present",
    css=(HERE / "present.css").read_text(encoding="utf-8"),
    js=(HERE / "present.js").read_text(encoding="utf-8"),
)


def present() -> None:
    """The button in the bar. What it does holds for the tab, on every page, until it or Escape ends it."""
    with st.container(key="present"):
        _mount(key="present-button")
