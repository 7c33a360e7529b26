"""Train: choose a recipe, start it, and watch it learn."""

from collections.abc import Sequence
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dlcore.catalogue.spec import Picture
from dlcore.engine.job import Job, Moment
from dlcore.inside.fit import visible
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from pages.parts import panels
from pages.parts.boundary import Seen, boundary, see
from pages.parts.change_list import change_list
from pages.parts.charts import accuracy_figure, loss_figure
from pages.parts.class_scores import class_scores
from pages.parts.controls import choose_named, edit_recipe
from pages.parts.epochs_table import epochs_table
from pages.parts.film import choose_frame
from pages.parts.frame import await_engine, ensure_frame, part
from pages.parts.live_chart import live_chart
from pages.parts.network_table import network_table
from pages.parts.pace import pace_for
from pages.parts.problems import problem_list, tell_in_place
from pages.parts.result import result, sentence
from pages.parts.starts import choose_start
from pages.parts.state.address import follow_address, show_address
from pages.parts.state.drafts import Draft, draft
from pages.parts.state.process import conductor, engine_is_here, runs_here, store
from pages.parts.state.tab import is_news, keep, shown_run
from pages.parts.steering import steer_button
from pages.parts.under_way import choose_shown, name_shown
from pages.parts.views.field import HEIGHT as FIELD_HEIGHT
from pages.parts.views.field import field
from pages.parts.views.listing import VIEWS
from pages.parts.views.network import show as show_network

DOUBLE = 0.5  # seconds within which a second click is the same one
CHART_HEIGHT = 170
HEIGHT = 360  # of the network
BELOW = 420  # of what there is to see of a run below it
QUEUE = "Train these settings too, in their turn: once nothing else is under way."


def current() -> list[Job]:
    run = shown_run()
    return [run] if run else []


def begin(recipe: Recipe, chosen: Draft, **how) -> Job:
    """Start a run of the draft, from its beginning or as a branch."""
    how |= {"pace": pace_for(recipe)}
    if point := chosen.branch:
        return conductor().branch(point.number, point.epoch, chosen.run_name, recipe, **how)
    return conductor().submit(chosen.run_name, recipe, **how)


def live(recipe: Recipe | None, chosen: Draft, lacks: str) -> None:
    """The buttons, and what they act on; `lacks`: where to look for what is wrong with the settings."""
    shown = panels.state_of(runs_here())

    def start(paused: bool) -> list[Job]:
        keep("train/shown", 0)
        return [begin(recipe, chosen, paused=paused)] if recipe else []

    def more() -> None:
        steer_button(shown_run())
        going = any(job.active for job in current())
        asked = st.button("Queue", disabled=not (recipe and going), help=QUEUE)
        if asked and is_news("train/queued", DOUBLE):
            keep("train/shown", shown_run().number)
            with panels.told():
                begin(recipe, chosen, in_turn=True)

    panels.buttons(current, start, startable=recipe is not None, more=more)
    choose_shown(chosen)
    run = shown_run()
    panels.follow(lambda: look(run, recipe, chosen, lacks), runs_here, shown)


def look(job: Job | None, recipe: Recipe | None, chosen: Draft, lacks: str) -> bool | float:
    """All that moves; whether something of it is still to come, or in how many seconds the film's next frame is due."""
    status, picture, below = st.container(key="status"), st.container(key="picture"), st.container()
    with below:
        frame = choose_frame(job, "train")
    seen = see(job, frame.epoch) if job else None
    run = seen and seen.run
    changed = settings_changed(run, recipe, chosen)
    shown = run.recipe if run and not changed else recipe or RECIPES[chosen.name].recipe
    with status:
        if run:
            panels.status([run])
        else:
            st.progress(0.0, text=f"**ready** · {RECIPES[chosen.name].about}")
        with st.container(key="sentence"):
            if lacks and not (run and run.active):
                st.caption(f":material/warning: {lacks}")
            else:
                st.caption(f"Settings changed: **Start** makes {next_run()}." if changed else sentence(run, shown))
        if run and run.failure:
            panels.failure(run)
    with picture:
        *left, right = st.columns([4, 3, 3] if visible(shown) else [3, 2], gap="medium")
    waits = False
    with panels.on_its_own():
        waits |= network(left, None if changed else seen, shown)
    with right, st.container(key="run-before" if changed else "run-shown", gap="xxsmall"):
        curves(run, run.recipe if run else shown)
    waits |= details(seen)
    return frame.again or waits or bool(seen and seen.note)


def settings_changed(run: Moment | None, recipe: Recipe | None, chosen: Draft) -> bool:
    """Whether a run that is over is shown, and Start would make another one."""
    made = run is None or run.active or recipe is None or chosen.branch
    return not made and recipe not in (run.recipe, run.first_recipe)


def next_run() -> str:
    """`run 3`, where it is known."""
    runs = store()
    return f"run {runs.next_number()}" if runs and runs.writable else "a new run"


def curves(run: Moment | None, recipe: Recipe) -> None:
    result(run, recipe)
    if recipe.task.measures_accuracy:
        with st.container(key="live-accuracy"):
            live_chart(accuracy_figure([run] if run else [], recipe=recipe), key="accuracy", height=CHART_HEIGHT)
    with st.container(key="live-loss"):
        live_chart(loss_figure([run] if run else []), key="loss", height=CHART_HEIGHT)
    change_list(run)


def network(columns: Sequence[DeltaGenerator], seen: Seen | None, recipe: Recipe) -> bool:
    """What is to be learned, the network, and what that makes of it; whether some of it is still to come."""
    subject, whole = seen and seen.subject, visible(recipe)
    waits = False
    if whole:
        with columns[1]:
            waits = boundary(seen, recipe, HEIGHT)
    with columns[0]:
        pictures = isinstance(recipe.data.spec().inputs, Picture)
        picked = field(seen and seen.run, recipe) if pictures else None
        return waits | show_network(subject, HEIGHT - FIELD_HEIGHT * pictures, recipe, lead=picked)


def details(seen: Seen | None) -> bool:
    """What there is to see of a run besides its curves; only the open tab is made. Whether it is still to come."""
    run = seen and seen.run
    classes = run is None or bool(run.recipe.task.classes)
    views = {"Each epoch": lambda: epochs_table(run, BELOW)}
    views |= {"Classes": lambda: class_scores(run, BELOW)} if classes else {}
    if seen and engine_is_here():
        views |= {name: partial(show, seen.subject, key) for name, show, key in VIEWS}
    with st.container(key="run-details" if run else "no-details"):
        return panels.tabs(views, "details")


def branch_note(chosen: Draft) -> None:
    """Where the next run begins, when that is not at the beginning."""
    point = chosen.branch
    with st.container(horizontal=True, vertical_alignment="center", key="branch"):
        name = panels.escape(point.name)
        st.info(f"Start makes a branch: it goes on from **{name}** (run {point.number}), after epoch {point.epoch}.")
        st.button("From scratch", on_click=lambda: setattr(chosen, "branch", None), help="Begin with fresh weights.")


ensure_frame()
run = shown_run()
name_shown(run)
chosen = draft("train", run)
follow_address(chosen)
with st.sidebar:
    choose_start(chosen)
    choose_named(chosen)
    places = edit_recipe(chosen)
show_address(chosen)
recipe, problems = chosen.checked()
warnings = recipe.warnings() if recipe and engine_is_here() else []
lacks = tell_in_place(problems, places, chosen.mend)
with part(bool(chosen.refused or chosen.branch or warnings)):
    problem_list(chosen.refused, "This link asks for what cannot be had:")
    if chosen.branch:
        branch_note(chosen)
    for warning in warnings:
        st.warning(panels.escape(warning.text), icon=":material/memory:")
st.fragment(live)(recipe, chosen, lacks)
with part(bool(run and store())):
    if run and store():
        label = "Name it, note something, branch from it: this run on the Runs page"
        st.page_link("pages/runs.py", label=label, query_params={"run": run.id})
if recipe:
    network_table(recipe)
await_engine()
