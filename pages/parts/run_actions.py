"""What can be done with a run that is kept: go on with it, branch from it, delete it, have its epochs as a file."""

import streamlit as st

from dlcore.engine.job import Job
from dlcore.recipe import Recipe, field_at, value_at
from dlcore.runs.records import Record
from dlcore.runs.remote import Remote
from dlcore.runs.store import StoreError
from dlcore.settings import bounds
from pages.parts import panels
from pages.parts.attempts import attempt
from pages.parts.download import download_button
from pages.parts.facts import csv
from pages.parts.frame import part
from pages.parts.state.address import select_runs
from pages.parts.state.drafts import draft
from pages.parts.state.process import conductor, store
from pages.parts.state.tab import keep, shown_run
from pages.parts.steering import steer_button

MOST_EPOCHS = bounds(field_at(Recipe(), "epochs"))[1]
PATIENCE = 2.0  # seconds that a page waits for the answer of another process
RULES_OFF = {"stop.accuracy": 0.0, "stop.patience": 0, "stop.minutes": 0.0}


def run_actions(run: Record) -> None:
    look = {"horizontal": True, "horizontal_alignment": "right", "vertical_alignment": "bottom"}
    with panels.told(), st.container(**look, key="run-actions"):
        resume(run)
        branch(run)
        if st.button("Delete", disabled=not store().writable, help="For a day it can be brought back."):
            if run.active:
                raise StoreError(f"Run {run.number} is under way; stop it before it is deleted.")
            confirm(run)
        name, about = f"dlcore-run-{run.number}.csv", "Every epoch of this run, as a table for a spreadsheet."
        with st.container(width="content"):
            download_button("Download CSV", lambda: csv(run), name=name, type="text/csv", key="run-csv", help=about)


def going(run: Record) -> None:
    """What can be asked of a run under way, in this process or in another one."""
    with panels.told(), part(run.active, horizontal=True, horizontal_alignment="right", key="run-going"):
        if run.active:
            job = run if isinstance(run, Job) else Remote(store(), run, PATIENCE)
            paused = run.status == "paused"
            if st.button("Pause", disabled=paused, help="Stop for a moment; nothing is lost."):
                job.pause()
            if st.button("Go on", disabled=not paused, help="Go on where it was paused."):
                job.resume()
            if st.button("Step", help="One single training step, then a pause."):
                job.step()
            if st.button("Stop", help="End here and keep what was learned."):
                job.stop()
            steer_button(job, key="run-steer")


def resume(run: Record) -> None:
    changes, help = {}, "Go on where it was left, to the bit, on the Train page."
    if run.status == "finished":
        ended_early = bool(run.reason)  # by one of its rules, which would end it again
        fewest = min(run.recipe.epochs + (not ended_early), MOST_EPOCHS)
        more = min(run.recipe.epochs * (1 if ended_early else 2), MOST_EPOCHS)
        key = f"run/{run.number}/{run.recipe.epochs}/epochs"
        about = "How many it shall have done in the end."
        wanted = {"epochs": st.number_input("Epochs in all", fewest, MOST_EPOCHS, more, key=key, width=140, help=about)}
        if ended_early:
            wanted |= RULES_OFF
            help += " The rules that end it early are turned off."
        changes = {path: value for path, value in wanted.items() if value != value_at(run.recipe, path)}
    else:
        st.empty()
    if st.button("Resume", disabled=run.active or not store().writable, help=help):
        keep("train/shown", conductor().resume(run.number, changes).number)
        st.switch_page("pages/train.py")


def branch(run: Record) -> None:
    done = {row.epoch for row in run.history.epochs}
    kept = [epoch for epoch in store().epochs_kept(run.number) if epoch in done]
    best = run.history.best.epoch if run.history.best else None
    epoch = st.selectbox(
        "After epoch",
        kept,
        index=(kept.index(best) if best in kept else len(kept) - 1) if kept else None,
        key=f"run/{run.number}/branch",
        format_func=lambda epoch: f"{epoch}, the best" if epoch == best else str(epoch),
        placeholder="none kept",
        disabled=not kept,
        width=140,
        help="The epochs whose weights are kept.",
    )
    help = "A new run that goes on with this one's weights; change its settings on the Train page, then start it."
    if st.button("Branch", disabled=epoch is None or not store().writable, help=help):
        draft("train", shown_run()).take_branch(run, epoch)
        st.switch_page("pages/train.py")


@st.dialog("Delete this run?")
def confirm(run: Record) -> None:
    st.markdown(f"**{panels.escape(run.name)}** (run {run.number}) goes, with its weights. It can be undone for a day.")
    with st.container(horizontal=True):
        sure = st.button("Delete it", type="primary", on_click=attempt, args=(delete, run))
        if st.button("Keep it") or sure:
            st.rerun()


def delete(run: Record) -> None:
    store().delete(run.number)
    conductor().forget(run.number)
    keep("runs/deleted", (run.number, run.name))
    select_runs([])
