"""The starting points: a card each, with a thumbnail of its data."""

import streamlit as st

from dlcore.recipes import RECIPES
from pages.parts.state.drafts import Draft

STARTS = {
    "digits": "Digits",
    "two-moons": "Two moons",
    "spirals": "Spirals",
    "linear-regression": "Line",
    "logistic-regression": "Pass or fail",
}
PICTURES = "app/static/starts"  # Streamlit serves the folder `static` there


def choose_start(draft: Draft) -> None:
    """Cards that start a draft from a named recipe; the one that it started from is lit.

    They are buttons, which have no state: a browser that is a moment late could send an old choice as if it were new.
    """
    with st.container(key="starts"):
        for name, title in STARTS.items():
            st.button(
                f"![]({PICTURES}/{name}.png) {title}",
                key=f"start/{name}",
                type="primary" if name == draft.name else "secondary",
                on_click=draft.open_link,
                args=(name, RECIPES[name].recipe.model_dump(mode="json")),
                width="stretch",
            )
