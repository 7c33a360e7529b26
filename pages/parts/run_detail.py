"""One run: its curves, what it is made of, what it is called, and what can be done with it."""

import html
from collections.abc import Callable, Sequence
from datetime import datetime

import streamlit as st

from dlcore.recipe import Recipe, field_at, value_at
from dlcore.runs.records import Record, Stored, checked_name, checked_note, checked_tags
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError, bounds
from pages.parts import panels
from pages.parts.charts import accuracy_figure, change_text, colour, loss_figure, short_name
from pages.parts.download import download_button
from pages.parts.facts import csv, facts, size, table
from pages.parts.frame import part
from pages.parts.live_chart import live_chart
from pages.parts.runs_table import attempt
from pages.parts.state.address import select_runs
from pages.parts.state.drafts import draft
from pages.parts.state.process import conductor, record, store
from pages.parts.state.tab import keep, remember, shown_run, widget

MOST_BRANCHES = 8  # that are listed
HEIGHT = 300  # of the charts
MOST_EPOCHS = bounds(field_at(Recipe(), "epochs"))[1]
RULES_OFF = {"stop.accuracy": 0.0, "stop.patience": 0, "stop.minutes": 0.0}


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
        actions(run)
    with st.container():
        follow([number], curves, shown)
    settings, describing = st.columns([2, 1], gap="large")
    with settings:
        st.html(facts(run.recipe))
        changed(run)
    with describing:
        describe(about, sorted({tag for row in rows for tag in row["tags"]}))
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


def charts(runs: Sequence[Record], loss: dict, accuracy: dict, key: str) -> None:
    """Both figures side by side; numbers have no accuracy, so that the loss alone has all the room."""
    height = HEIGHT if len(runs) <= 4 else HEIGHT + 80  # for a longer legend
    if not any(run.recipe.data.classes for run in runs):
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


def actions(run: Record) -> None:
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


def describe(run: Stored, known_tags: Sequence[str]) -> None:
    """Name, tags and note, each saved as it is left."""
    fixed, key = not store().writable, f"run/{run.number}"

    def save(what: str, check: Callable) -> Callable[[], None]:
        return lambda: keep("run/refused", (run.number, what, rename(run.number, what, check, widget(f"{key}/{what}"))))

    def refused(what: str) -> None:
        number, where, sentence = remember("run/refused", (0, "", ""))
        told = sentence if (number, where) == (run.number, what) else ""
        with part(bool(told)):
            if told:
                st.error(panels.escape(told), icon=":material/error:")

    st.text_input("Name", run.name, key=f"{key}/name", on_change=save("name", checked_name), disabled=fixed)
    refused("name")
    tags = list(dict.fromkeys([*known_tags, *run.tags]))
    st.multiselect(
        "Tags",
        tags,
        run.tags,
        key=f"{key}/tags",
        on_change=save("tags", checked_tags),
        accept_new_options=True,
        placeholder="Choose tags, or write new ones",
        disabled=fixed,
    )
    refused("tags")
    st.text_area("Note", run.note, key=f"{key}/note", on_change=save("note", checked_note), disabled=fixed, height=90)
    refused("note")


def rename(number: int, what: str, check: Callable, value: object) -> str:
    """Set a run's name, tags or note; why not, if it cannot be."""
    try:
        checked = check(value)
        store().describe(number, **{what: checked})
        job = next((job for job in conductor().jobs if job.number == number), None)
        if job and what == "name":
            job.name = checked
    except (SettingsError, StoreError) as error:
        return str(error)
    return ""


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
