"""The starting points: a card each, with a thumbnail of its data."""

import streamlit as st

from pages.parts.state.drafts import Draft
from pages.parts.state.tab import have_widget_show, widget

STARTS = {
    "digits": "Digits",
    "two-moons": "Two moons",
    "spirals": "Spirals",
    "linear-regression": "Line",
    "logistic-regression": "Pass or fail",
}
PICTURES = "app/static/starts"  # Streamlit serves the folder `static` there


def choose_start(draft: Draft) -> None:
    """Cards that start a draft from a named recipe; one of them is lit while the draft has it."""
    have_widget_show("starts", draft.name if draft.name in STARTS else None)
    st.segmented_control(
        "Start from",
        list(STARTS),
        key="starts",
        format_func=lambda name: f"![{STARTS[name]}]({PICTURES}/{name}.png) {STARTS[name]}",
        on_change=lambda: draft.start_from(widget("starts") or draft.name),
        label_visibility="collapsed",
    )
