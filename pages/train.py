"""Train: choose a recipe, start it, and watch it learn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import streamlit as st

from dlcore.catalogue.architectures import layers, size
from dlcore.engine.conductor import branch_problems
from dlcore.engine.job import Job, Moment
from dlcore.engine.metrics import confusion, per_class
from dlcore.history import History
from dlcore.inside.fit import Fit, fit, visible
from dlcore.recipe import Recipe, read
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from pages.parts import panels
from pages.parts.asking import Question, hear
from pages.parts.charts import accuracy_figure, confusion_figure, fit_figure, loss_figure, short_name
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.download import download_button
from pages.parts.facts import csv, table
from pages.parts.frame import ensure_frame, part
from pages.parts.live_chart import live_chart
from pages.parts.state.address import follow_address, show_address
from pages.parts.state.drafts import Draft, draft
from pages.parts.state.process import conductor, runs_here, store
from pages.parts.state.tab import keep, remember, shown_run
from pages.parts.steering import steer_button

if TYPE_CHECKING:
    import pandas as pd

WHOLE = st.column_config.NumberColumn(format="%d")
PERCENT = st.column_config.NumberColumn(format="%.1f%%")
SHARES = ("precision", "recall", "f1")
DOUBLE = 0.5  # seconds within which a second click is the same one
SHOWN = 200  # epochs in the table; the CSV has them all
HEIGHT = 420  # of what there is to see of a run below its curves
QUEUE = "Train these settings too, in their turn: once nothing else is under way."

T = TypeVar("T")


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
        asked = st.button("Queue", disabled=not (recipe and going), help=QUEUE)
        if asked and time.monotonic() - remember("train/queued", -DOUBLE) > DOUBLE:
            keep("train/queued", time.monotonic())
            keep("train/shown", shown_run().number)
            with panels.told():
                begin(recipe, chosen, pace=panels.pace(), in_turn=True)

    panels.buttons(current, start, startable=recipe is not None, more=more)
    choose_shown(chosen)
    run = shown_run()
    panels.follow(lambda: look(run, chosen), runs_here, shown)


def choose_shown(chosen: Draft) -> None:
    """Which run the page shows, and with several under way a choice of them; before the first, what Start would make:
    the line is always there, so that nothing moves when runs come.
    """
    shown = shown_run()
    runs = {job.number: job for job in runs_here() if job.active or job is shown}
    names = {number: f"{panels.escape(job.name)} · run {number}" for number, job in runs.items()}
    with st.container(horizontal=True, vertical_alignment="center", key="under-way"):
        picked = st.pills(
            "Under way",
            list(names) or [0],
            default=shown.number if shown else 0,
            format_func=lambda number: names.get(number, f"{panels.escape(chosen.run_name)} · not started"),
            label_visibility="collapsed",
            required=True,
            disabled=not runs,
            key=f"train/shown/{'-'.join(map(str, runs))}",
        )
        keep("train/shown", picked)
        with panels.told():
            idle = store() and not any(job.active for job in runs.values())
            interrupted_note(store().interrupted(most=1) if idle else [])


def interrupted_note(rows: list[dict]) -> None:
    """What the end of an earlier process left behind, on the line that is there in any case."""
    with part(bool(rows)):
        for row in rows:
            ended = row["epoch"] >= row["epochs"]
            where = "after its last epoch" if ended else f"in epoch {row['epoch'] + 1} of {row['epochs']}"
            told = f"{short_name(row['name'])} (run {row['number']}) was interrupted {where}: go on with it"
            address = {"label": panels.escape(told), "query_params": {"run": row["number"]}}
            st.page_link("pages/runs.py", icon=":material/history:", **address)


class Seen(NamedTuple):
    """All that is drawn of a run, of one moment."""

    run: Moment
    fit: Fit | None = None  # of the moment, or of an earlier one if so it is told
    told: str = ""


def see(job: Job) -> Seen:
    run = job.now()
    if not (job.ready and visible(run.recipe)):
        return Seen(run)
    ask = lambda: job.ask(lambda network: (job.now(), fit(network)))  # noqa: E731
    heard = hear("fit", {job.number: Question((run.number, run.history.steps), ask)})[job.number]
    then, picture = heard.answer or (run, None)
    if heard.sentence:
        return Seen(
            run, picture, f"{heard.sentence} {f'The picture is of step {then.history.steps}.' if picture else ''}"
        )
    return Seen(run if then.history.steps == run.history.steps else then, picture)


def look(job: Job | None, chosen: Draft) -> bool:
    """All that moves; whether something of it is still to come."""
    seen = see(job) if job else None
    run = seen and seen.run
    with st.container(key="status"):
        if run:
            panels.status([run])
        else:
            st.progress(
                0.0, text=f"**ready** · {RECIPES[chosen.name].about} Press Start, or change anything on the left first."
            )
    if run and run.failure:
        panels.failure(run)
    numbers = run is not None and not run.recipe.data.classes
    left, right = st.columns(2)
    with left.container(key="live-loss"):
        live_chart(loss_figure([run] if run else []), key="loss", height=340)
    with right.container(key="live-accuracy"):
        if numbers:
            boundary(seen, 340)  # numbers have no accuracy, but a curve that can be seen
        else:
            live_chart(accuracy_figure([run] if run else []), key="accuracy", height=340)
    place = st.container()
    if run and not numbers and visible(run.recipe):
        left, place = st.columns(2)
        with left:
            boundary(seen, HEIGHT)
    with place:
        details(run)
    return bool(seen and seen.told)


def boundary(seen: Seen, height: int) -> None:
    """What the network makes of data that can be seen whole."""
    with st.container(key="boundary"):
        if seen.fit:
            live_chart(fit_figure(seen.run, seen.fit), key="fit", height=height)
        told = seen.told or ("" if seen.fit else "Once training starts: what the network makes of the data.")
        if told:
            st.caption(panels.escape(told))


def details(run: Moment | None) -> None:
    """What there is to see of a run besides its curves; only the open tab is made."""
    classes = run is None or bool(run.recipe.data.classes)
    views = {"Each epoch": epochs_table} | ({"Classes": class_scores} if classes else {})
    with st.container(key="run-details" if run else "no-details"):
        for tab, view in zip(st.tabs(list(views), on_change="rerun", key="details"), views.values(), strict=True):
            if tab.open:
                with tab:
                    view(run)


def epochs_table(run: Moment | None) -> None:
    if not (run and run.history.epochs):
        st.caption("After each epoch a row appears here.")
        return
    st.dataframe(
        once("table", (run.number, run.history.epochs[-1], run.history.best), lambda: epochs_frame(run.history)),
        hide_index=True,
        height=HEIGHT - 55,  # the rest is for the button below
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
        lambda: csv(run),
        name=f"dlcore-run-{run.number}.csv",
        type="text/csv",
        key="csv",
        help="Every epoch of this run, as a table for a spreadsheet.",
    )


def epochs_frame(history: History) -> pd.DataFrame:
    """The last epochs, the newest first."""
    import pandas as pd  # not before there is something to show: it takes half a second

    count = len(history.epochs)
    last = {name: column.values[:count][: -SHOWN - 1 : -1] for name, column in history.columns.items()}
    shown = percent(pd.DataFrame(last), "train_accuracy", "val_accuracy").dropna(axis="columns", how="all")
    shown.insert(0, "best", np.where(shown["epoch"] == history.best.epoch, "★", ""))
    return shown


def percent(frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Shares as percents: Streamlit's own format for shares gives each its own number of digits."""
    return frame.assign(**{column: frame[column] * 100 for column in columns})


def class_scores(run: Moment | None) -> None:
    if not run or run.predicted is None:
        st.caption("After the first epoch: which classes are mistaken for which, on the validation samples.")
        return
    figure, scores = once("classes", (run.number, [*run.history.epochs[-1:]]), lambda: scored(run))
    left, right = st.columns(2)
    left.plotly_chart(figure, key="confusion")
    config = dict.fromkeys(SHARES, PERCENT)
    right.dataframe(scores, hide_index=True, height=HEIGHT, column_config=config)


def scored(run: Moment) -> tuple[dict, pd.DataFrame]:
    import pandas as pd

    classes = run.recipe.data.classes
    figure = confusion_figure(confusion(run.targets, run.predicted, len(classes)), classes)
    return figure, percent(pd.DataFrame(per_class(run.targets, run.predicted, classes)), *SHARES)


def once(what: str, about: object, make: Callable[[], T]) -> T:
    """What `make` gives, made anew only when it is about something else than at the last look."""
    kept = remember(f"train/{what}", (None, None))
    if kept[0] != about:
        kept = about, make()
        keep(f"train/{what}", kept)
    return kept[1]


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


ensure_frame()
run = shown_run()
chosen = draft("train", run)
follow_address(chosen)
with st.sidebar:
    choose_named(chosen)
    edit_recipe(chosen)
show_address(chosen)
try:
    recipe, problems = read(json.dumps(chosen.values)), []
    if point := chosen.branch:
        problems = branch_problems(point.recipe, point.epoch, recipe)
except SettingsError as error:
    recipe, problems = None, error.problems
recipe = None if problems else recipe
warnings = recipe.warnings() if recipe else []
with part(bool(chosen.refused or chosen.branch or problems or warnings)):
    panels.problem_list(chosen.refused, "This link asks for what cannot be had:")
    if chosen.branch:
        branch_note(chosen)
    panels.problem_list(problems)
    for warning in warnings:
        st.warning(panels.escape(warning.text), icon=":material/memory:")
st.fragment(live)(recipe, chosen)
with part(bool(run and store())):
    if run and store():
        label = "Name it, note something, branch from it: this run on the Runs page"
        st.page_link("pages/runs.py", label=label, query_params={"run": run.id})
if recipe:
    network(recipe)
