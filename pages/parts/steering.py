"""Steering: the controls of a run that trains. A change holds from the next step on, and is part of the run."""

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import steerable
from dlcore.runs.remote import Remote
from dlcore.settings import SettingsError
from pages.parts.controls import Editor
from pages.parts.problems import problem_list
from pages.parts.state.drafts import steering_draft

# A rule that is off must not be in the way; a run that may yield no number was asked for before it began.
APART = ("stop.not_a_number",)


def steer_button(job: Job | Remote | None, key: str = "steer") -> None:
    """A button that unfolds what can be changed in the run."""
    going = job is not None and job.active
    place = st.popover("Steer", disabled=not going, on_change="rerun", key=key, help="Change it while it trains.")
    if going and place.open:
        with place:
            _controls(job)


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
