"""Attempts: what a widget of the Runs page asks for, done before the page is drawn, which says why if it cannot be."""

from collections.abc import Callable

import streamlit as st

from dlcore.runs.store import StoreError
from pages.parts.frame import part
from pages.parts.panels import escape
from pages.parts.state.tab import keep, remember


def attempt(act: Callable, *arguments) -> None:
    """For a widget's callback: `attempt_problem` says why it could not be done."""
    keep("runs/problem", "")
    try:
        act(*arguments)
    except StoreError as error:
        keep("runs/problem", str(error))


def attempt_problem() -> None:
    problem = remember("runs/problem", "")
    with part(bool(problem)):
        if problem:
            st.error(escape(problem), icon=":material/error:")
