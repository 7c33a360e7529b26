"""Folders of runs that the list of runs does not know, as when it was lost: a line each, and a button to enter it."""

import streamlit as st

from pages.parts.attempts import attempt
from pages.parts.frame import part
from pages.parts.panels import escape
from pages.parts.state.address import select_runs
from pages.parts.state.process import store
from pages.parts.state.tab import keep, remember

MOST = 10  # that are listed


def unknown_folders() -> None:
    """An empty place, where there are none."""
    found = store().unlisted() if store().writable else []
    passed = remember("runs/passed", "")
    keep("runs/passed", "")
    with part(bool(found or passed), key="unknown-folders", gap="xsmall"):
        if passed:
            st.caption(escape(passed))
        for one in found[:MOST]:
            name = f" ({escape(one.name)})" if one.name else ""
            told = f"Run {one.number}{name} has a folder, but is not in the list of runs"
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                if one.problem:
                    command = f"`python -m dlcore import {one.number} --recipe NAME`"
                    st.caption(f"{told}: {escape(one.problem)}. {command} enters it with a recipe.")
                else:
                    st.caption(
                        f"{told}. Its weights of epoch {one.epoch} are there; what it measured is lost.",
                        width="content",
                    )
                    act = lambda number=one.number: attempt(take_in, number)  # noqa: E731
                    st.button(f"Import run {one.number}", key=f"unknown/{one.number}", on_click=act, type="tertiary")
        if len(found) > MOST:
            st.caption(f"And {len(found) - MOST} more: `python -m dlcore runs` tells them all.")


def take_in(number: int) -> None:
    keep("runs/passed", " ".join(store().take_in(number)))
    select_runs([str(number)])
