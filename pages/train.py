"""Train: choose a recipe, start it, and watch it learn."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from dlcore.architectures import layers, size
from dlcore.fit import fit, visible
from dlcore.jobs import Job, branch_problems
from dlcore.metrics import confusion, per_class
from dlcore.recipe import Recipe, read
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from pages.parts import panels
from pages.parts.charts import accuracy_figure, confusion_figure, fit_figure, loss_figure
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.download import download_button
from pages.parts.facts import csv, table
from pages.parts.frame import ensure_frame
from pages.parts.live_chart import live_chart
from pages.parts.session import (
    Draft,
    conductor,
    draft,
    follow_address,
    keep,
    remember,
    runs_here,
    show_address,
    shown_run,
    store,
)
from pages.parts.steering import steer_button

if TYPE_CHECKING:
    import pandas as pd

WHOLE = st.column_config.NumberColumn(format="%d")
PERCENT = st.column_config.NumberColumn(format="%.1f%%")
DOUBLE = 0.5  # seconds within which a second click is the same one
DETAILS = 2  # seconds between two looks at the table of epochs
SHOWN = 200  # epochs in the table; the CSV has them all


def current() -> list[Job]:
    run = shown_run()
    return [run] if run else []


def begin(recipe: Recipe, chosen: Draft, **how) -> Job:
    """Start a run of the draft, from its beginning or as a branch."""
    if point := chosen.branch:
        return conductor().branch(point.number, point.epoch, chosen.run_name, recipe, **how)
    return conductor().submit(chosen.run_name, recipe, **how)


def live(recipe: Recipe | None, chosen: Draft) -> None:
    """The buttons, and what they act on."""
    shown = panels.state_of(runs_here())

    def start(pace: float | None, paused: bool) -> list[Job]:
        keep("train/shown", 0)
        return [begin(recipe, chosen, pace=pace, paused=paused)] if recipe else []

    def more() -> None:
        steer_button(shown_run())
        going = any(job.active for job in current())
        asked = st.button("Queue", disabled=not (recipe and going), help="Train these settings too, in their turn.")
        if asked and time.time() - remember("train/queued", 0.0) > DOUBLE:
            keep("train/queued", time.time())
            keep("train/shown", shown_run().number)
            with panels.told():
                begin(recipe, chosen)

    panels.buttons(current, start, startable=recipe is not None, more=more)
    choose_shown()
    panels.follow(lambda: curves(current(), chosen), runs_here, shown)
    place, seen = st.container(), current()
    if seen and seen[0].recipe.data.classes and visible(seen[0].recipe):
        left, place = st.columns(2)
        with left:
            panels.follow(lambda: fit_view(current()), runs_here, shown)
    with place:
        panels.follow(lambda: details(current()), runs_here, shown, every=DETAILS)


def curves(jobs: list[Job], chosen: Draft) -> None:
    """Where it stands, and both charts."""
    with st.container(key="status"):
        if jobs:
            panels.status(jobs)
        else:
            st.progress(
                0.0, text=f"**ready** · {RECIPES[chosen.name].about} Press Start, or change anything on the left first."
            )
    if jobs and jobs[0].failure:
        panels.failure(jobs[0])
    left, right = st.columns(2)
    with left.container(key="live-loss"):
        live_chart(loss_figure(jobs), key="loss", height=340)
    with right.container(key="live-accuracy"):
        if jobs and not jobs[0].recipe.data.classes:
            fit_view(jobs)  # numbers have no accuracy, but a curve that can be seen
        else:
            live_chart(accuracy_figure(jobs), key="accuracy", height=340)


def choose_shown() -> None:
    """With several runs under way, which of them the page shows."""
    runs = {job.number: job for job in runs_here() if job.active}
    shown = shown_run()
    if shown and runs.keys() - {shown.number}:
        picked = st.pills(
            "Under way",
            list(runs),
            default=shown.number if shown.active else None,
            format_func=lambda number: f"{runs[number].name} · run {number}",
            label_visibility="collapsed",
            key=f"train/shown/{'-'.join(map(str, runs))}",
        )
        keep("train/shown", picked or 0)


def details(jobs: list[Job]) -> None:
    """What there is to see of a run besides its curves; only the open tab is made."""
    classes = not jobs or bool(jobs[0].recipe.data.classes)
    views = {"Each epoch": epochs_table} | ({"Classes": class_scores} if classes else {})
    for tab, view in zip(st.tabs(list(views), on_change="rerun", key="details"), views.values(), strict=True):
        if tab.open:
            with tab:
                view(jobs)


def fit_view(jobs: list[Job]) -> None:
    """What the network makes of data that can be seen whole."""
    if jobs[0].ready:
        live_chart(fit_figure(jobs[0], jobs[0].ask(fit).result(panels.PATIENCE)), key="fit", height=340)
    else:
        st.caption("Once training starts: what the network makes of the data.")


def epochs_table(jobs: list[Job]) -> None:
    history = jobs[0].history if jobs else None
    if not (history and history.epochs):
        st.caption("After each epoch a row appears here.")
        return
    import pandas as pd  # not before there is something to show: it takes half a second

    count = len(history.epochs)
    last = {name: column.values[:count][: -SHOWN - 1 : -1] for name, column in history.columns.items()}
    shown = percent(pd.DataFrame(last), "train_accuracy", "val_accuracy").dropna(axis="columns", how="all")
    shown.insert(0, "best", np.where(shown["epoch"] == history.best.epoch, "★", ""))
    st.dataframe(
        shown,
        hide_index=True,
        height=240,
        column_config={
            "best": st.column_config.TextColumn("", width=30, help="The best epoch: its weights are kept."),
            "epoch": WHOLE | {"label": "epoch"},
            "step": WHOLE | {"label": "step"},
            "train_loss": st.column_config.NumberColumn("training loss", format="%.4f"),
            "train_accuracy": PERCENT | {"label": "training accuracy"},
            "val_loss": st.column_config.NumberColumn("validation loss", format="%.4f"),
            "val_accuracy": PERCENT | {"label": "validation accuracy"},
            "lr": st.column_config.NumberColumn("learning rate", format="%.2e"),
            "seconds": st.column_config.NumberColumn("seconds", format="%.1f"),
            "steps_per_second": st.column_config.NumberColumn("steps/s", format="%.0f"),
        },
    )
    download_button(
        "Download CSV",
        lambda: csv(jobs[0]),
        name=f"dlcore-run-{jobs[0].number}.csv",
        type="text/csv",
        key="csv",
        help="Every epoch of this run, as a table for a spreadsheet.",
    )


def percent(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Shares as percents: Streamlit's own format for shares gives each its own number of digits."""
    return frame.assign(**{column: frame[column] * 100 for column in columns})


def class_scores(jobs: list[Job]) -> None:
    if not jobs or jobs[0].predicted is None:
        st.caption("After the first epoch: which classes are mistaken for which, on the validation samples.")
        return
    import pandas as pd

    job, classes = jobs[0], jobs[0].recipe.data.classes
    left, right = st.columns(2)
    left.plotly_chart(confusion_figure(confusion(job.targets, job.predicted, len(classes)), classes), key="confusion")
    shares = ("precision", "recall", "f1")
    scores = percent(pd.DataFrame(per_class(job.targets, job.predicted, classes)), *shares)
    right.dataframe(scores, hide_index=True, height=420, column_config=dict.fromkeys(shares, PERCENT))


def network(recipe: Recipe) -> None:
    """The layers, with their output shapes and parameter counts, once someone wants to see them."""
    made_of = recipe.model, recipe.data.shape, recipe.outputs
    with st.expander(f"Network: {size(*made_of):,} parameters", key="network", on_change="rerun") as network:
        if network.open:
            rows = [(one.name, " × ".join(map(str, one.output)), f"{one.parameters:,}") for one in layers(*made_of)]
            st.html(table(["layer", "output", "parameters"], rows))


def branch_note(chosen: Draft) -> None:
    """Where the next run begins, when that is not at the beginning."""
    point = chosen.branch
    with st.container(horizontal=True, vertical_alignment="center", key="branch"):
        name = panels.escape(point.name)
        st.info(f"Start makes a branch: it goes on from **{name}** (run {point.number}), after epoch {point.epoch}.")
        st.button("From scratch", on_click=lambda: setattr(chosen, "branch", None), help="Begin with fresh weights.")


def interrupted_note() -> None:
    """What the end of an earlier process left behind."""
    for row in store().interrupted(most=1) if store() else []:
        told = f"{row['name']} (run {row['number']}) was interrupted in epoch {row['epoch'] + 1} of {row['epochs']}"
        label = f"{panels.escape(told)}. Go on with it on the Runs page."
        st.page_link("pages/runs.py", label=label, icon=":material/history:", query_params={"run": row["number"]})


ensure_frame()
run = shown_run()
chosen = draft("train", run)
follow_address(chosen)
with st.sidebar:
    choose_named(chosen)
    edit_recipe(chosen)
show_address(chosen)
panels.problem_list(chosen.refused, "This link asks for what cannot be had:")
try:
    recipe = read(json.dumps(chosen.values))
    if point := chosen.branch:
        branch_note(chosen)
        if problems := branch_problems(point.recipe, point.epoch, recipe):
            raise SettingsError(problems)
except SettingsError as error:
    recipe = None
    panels.problem_list(error.problems)
active = any(job.active for job in runs_here())
st.fragment(live)(recipe, chosen)
if run and store():
    label = "Name it, note something, branch from it: this run on the Runs page"
    st.page_link("pages/runs.py", label=label, query_params={"run": run.id})
if not active:
    interrupted_note()
if recipe:
    network(recipe)
