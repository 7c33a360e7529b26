"""One run on the Runs page: its curves, its settings, where it ran; and its parents and branches."""

import html
from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st

from dlcore.runs.records import Record, Stored
from pages.parts import panels
from pages.parts.change_list import change_list
from pages.parts.charts import accuracy_figure, loss_figure
from pages.parts.facts import facts, size, table
from pages.parts.frame import part
from pages.parts.live_chart import live_chart
from pages.parts.marks import change_text, marks
from pages.parts.run_actions import going, run_actions
from pages.parts.run_description import describe_run
from pages.parts.run_looks import colour, short_name
from pages.parts.state.address import select_runs
from pages.parts.state.process import record, store

MOST_BRANCHES = 8  # that are listed
HEIGHT = 300  # of the charts


def one_run(number: int, rows: Sequence[dict]) -> None:
    run = record(number)
    shown = panels.state_of([run])
    about = run if isinstance(run, Stored) else store().open(number)  # a job knows no tags, no note and no size
    title, buttons = st.columns([5, 9], vertical_alignment="bottom")
    with title.container(gap=None):
        st.html(
            f'<h3 class="run named"><i class="swatch" style="background:{colour(number)}"></i>'
            f"<span>{html.escape(run.name)} <small>run {number}</small></span></h3>"
        )
        family(run, rows)
    with buttons:
        run_actions(run)
        going(run)
    with st.container():
        follow([number], curves, shown)
    settings, describing = st.columns([2, 1], gap="large")
    with settings:
        st.html(facts(run.recipe))
        changed(run)
    with describing:
        describe_run(about, sorted({tag for row in rows for tag in row["tags"]}))
        st.caption(ran_on(run, about))


def follow(numbers: list[int], draw: Callable[[list[Record]], None], shown: panels.State) -> None:
    """Draw records, and draw them anew while one of them is under way."""

    def runs() -> list[Record]:
        return [record(number) for number in numbers]

    panels.follow(lambda: draw(runs()), runs, shown)


def curves(runs: list[Record]) -> None:
    with st.container():
        panels.status(runs)
    with part(bool(runs[0].failure)):
        if runs[0].failure:
            panels.failure(runs[0])
    charts(runs, loss_figure(runs), accuracy_figure(runs), "run")
    with part(bool(marks(runs[0]))):
        if marks(runs[0]):
            change_list(runs[0])


def charts(runs: Sequence[Record], loss: dict, accuracy: dict, key: str) -> None:
    """Both figures side by side; numbers have no accuracy, so that the loss alone has all the room."""
    height = HEIGHT if len(runs) <= 4 else HEIGHT + 80  # for a longer legend
    if not any(run.recipe.task.classes for run in runs):
        with st.container():
            with st.container(key=f"{key}-loss"):
                live_chart(loss, key=f"{key}-loss-chart", height=height)
            st.empty()  # where others have their accuracy
        return
    left, right = st.columns(2)
    with left.container(key=f"{key}-loss"):
        live_chart(loss, key=f"{key}-loss-chart", height=height)
    with right.container(key=f"{key}-accuracy"):
        live_chart(accuracy, key=f"{key}-accuracy-chart", height=height)


def family(run: Record, rows: Sequence[dict]) -> None:
    """The run that this one left, and those that left it."""
    children = [row for row in rows if row["parent"] == run.number]
    names = {row["number"]: row["name"] for row in rows}
    look = {"horizontal": True, "vertical_alignment": "center", "gap": "xxsmall", "key": "family"}
    with part(bool(run.branch or children), **look):
        if run.branch and run.branch.parent in names:
            st.markdown("A branch of")
            link(run.branch.parent, names[run.branch.parent])
            st.markdown(f"after epoch {run.branch.epoch}.")
        elif run.branch:
            st.markdown(f"A branch of run {run.branch.parent}, which is deleted, after epoch {run.branch.epoch}.")
        if children:
            st.markdown("Its own branches:")
        for row in children[:MOST_BRANCHES]:
            link(row["number"], row["name"])
        if len(children) > MOST_BRANCHES:
            st.markdown(f"and {len(children) - MOST_BRANCHES} more")


def link(number: int, name: str) -> None:
    label = panels.escape(f"{short_name(name)} (run {number})")
    st.button(label, key=f"family/{number}", type="tertiary", on_click=select_runs, args=([str(number)],))


def changed(run: Record) -> None:
    """What was changed on its way."""
    start = run.branch.step if run.branch else 0
    made = [change for change in run.history.changes if change.step >= start]
    with part(bool(made)):
        if made:
            st.caption("Changed on its way")
            st.html(table(("after step", "change"), [(f"{one.step:,}", change_text(run.recipe, one)) for one in made]))


def ran_on(run: Record, about: Stored) -> str:
    begun = datetime.fromtimestamp(run.created).strftime("%Y-%m-%d %H:%M")
    told = [f"begun {begun}", f"trained for {panels.clock(run.elapsed)}", f"{size(about.size)} on disk"]
    told += [f"{name} {value}" for name, value in about.environment.items()]
    return panels.escape(" · ".join(told))
