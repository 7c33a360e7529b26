"""The frame: the list of pages, how each page makes sure that it stands in it, and how its parts keep their places."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.parts.panels import escape
from pages.parts.present import present
from pages.parts.state.address import parameters
from pages.parts.state.process import engine_is_here, store, store_problem
from pages.parts.state.tab import keep, remember

ROOT = Path(__file__).parents[2]
LOOK = 0.2  # seconds between two looks for the engine


def frame():
    """What all pages share: the name in the browser's tab, and the pages at the top.

    Returns the page that the address asks for.
    """
    st.set_page_config(page_title="dlcore", page_icon=ROOT / "static" / "icon.svg", layout="wide")
    st.logo(ROOT / "static" / "logo.svg")
    present()
    keep("framed", True)
    problem, lasting = store_problem(), not (store() and store().writable)
    with part(bool(problem)):
        if problem and lasting:
            st.error(escape(problem), icon=":material/hard_drive:")
        elif problem:
            told, button = st.columns([10, 1], vertical_alignment="center")
            told.warning(escape(problem), icon=":material/hard_drive:")
            button.button("Dismiss", on_click=store().dismiss, args=(problem,), type="tertiary")
    train = st.Page("pages/train.py", title="Train", icon=":material/play_circle:", url_path="home", default=True)
    return st.navigation(
        [
            train,
            st.Page("pages/compare.py", title="Compare", icon=":material/flag:"),
            st.Page("pages/draw.py", title="Draw", icon=":material/draw:"),
            st.Page("pages/inside.py", title="Inside", icon=":material/visibility:"),
            st.Page("pages/runs.py", title="Runs", icon=":material/history:"),
            st.Page("pages/reference.py", title="Reference", icon=":material/menu_book:"),
            # The default page is served at / alone (its own path only has to differ); /train means it too.
            st.Page(
                lambda: st.switch_page(train, query_params=parameters()),
                title="Train",
                url_path="train",
                visibility="hidden",
            ),
        ],
        position="top",
    )


def ensure_frame() -> None:
    """Called first by every page.

    When the first address that a new server is asked for is a page's own, Streamlit takes the folder `pages` for its
    older kind of pages and runs that file without `dashboard.py`. One call of st.navigation turns that off for good.
    """
    if not remember("framed", False):
        frame()
        st.rerun()


def await_engine() -> None:
    """Draw the page anew once PyTorch is here, with what takes it; called last by a page that can be drawn without."""
    waits = not engine_is_here()

    def look() -> None:
        # What is asked for together with this, as by a click, would be forgotten: it goes first.
        alone = len(get_script_run_ctx().fragment_ids_this_run or [None]) == 1
        if waits and alone and engine_is_here():
            st.rerun()

    st.fragment(look, run_every=LOOK if waits else None)()


def part(there: bool, **how: Any) -> AbstractContextManager:
    """A container for what is not always there, which takes up one place among the others in any case.

    Streamlit tells elements apart by their places, and removes those of the run before once the page is whole. But when
    something is asked for just then, the browser never hears that: so what is gone has to be overwritten, and nothing
    may move up.
    """
    return st.container(**how) if there else st.empty()
