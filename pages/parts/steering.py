"""Steering: the controls of a run that trains. A change holds from the next step on, and is part of the run."""

import contextlib
from collections.abc import Iterator

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import steerable
from dlcore.runs.remote import Remote
from dlcore.settings import SettingsError
from pages.parts.controls import Editor
from pages.parts.frame import part
from pages.parts.problems import problem_list
from pages.parts.state.drafts import steering_draft
from pages.parts.state.tab import keep, remember

# A rule that is off must not be in the way; a run that may yield no number was asked for before it began.
APART = ("stop.not_a_number",)


def steer_button(job: Job | Remote | None, key: str = "steer") -> None:
    """A button that opens and closes what can be changed in the run; `beside_steering` says where that is."""
    st.button(
        "Steer",
        icon=":material/right_panel_close:" if _open(job, key) else ":material/right_panel_open:",
        key=key,
        disabled=not _going(job),
        on_click=lambda: keep(f"{key}/open", not remember(f"{key}/open", False)),
        help="Change it while it trains.",
    )


@contextlib.contextmanager
def beside_steering(job: Job | Remote | None, key: str = "steer") -> Iterator[None]:
    """A place whose right edge the controls take, while they are open: they cover nothing."""
    with st.container(horizontal=True, gap="medium", key=f"{key}-place"):
        with st.container():
            yield
        opened = _open(job, key)
        with part(opened, key=f"{key}-controls", width=220):
            if opened:
                _controls(job)


def _going(job: Job | Remote | None) -> bool:
    return job is not None and job.active


def _open(job: Job | Remote | None, key: str) -> bool:
    return _going(job) and remember(f"{key}/open", False)


def _controls(job: Job | Remote) -> None:
    draft = steering_draft(job)
    edit = Editor(draft)
    for path in steerable(job.wanted):
        if path not in APART:
            edit.field(path)
    changes = draft.changes()
    if changes:
        try:
            job.steer(changes)
            draft.settle()
        except SettingsError as error:
            problem_list(error.problems, "This cannot be:")
    st.caption("A change holds from the next step on, and is marked on the charts.")
