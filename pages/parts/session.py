"""What lasts: the process's conductor, what a browser tab remembers between runs of a page, and the page's address.

The only file that touches session_state, cache_resource and query_params. Jobs belong to the process: every tab sees
them all.
"""

import contextlib
import copy
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dlcore.engine.capture import network
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.engine.training import Run
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.checkpoints import read as read_checkpoint
from dlcore.runs.records import Record, Stored, branch_name
from dlcore.runs.store import Store, StoreError
from dlcore.settings import Problem
from dlcore.sharing import from_link, is_setting, nearest_named, to_link

CHANGED = " (changed)"
UNDER_WAY = 1  # second that an address may take to the browser
AT_ONCE = 2  # runs, or races, under way at a time, unless the person says otherwise
REMEMBERED = 32  # stored runs whose histories stay in memory
MOST_SELECTED = 8  # runs side by side: as many as there are colours


@st.cache_resource(show_spinner=False)
def conductor() -> Conductor:
    """The one that trains, for all tabs."""
    runs = store()
    at_once = runs.setting("at_once", AT_ONCE) if runs else AT_ONCE
    return Conductor(store=runs if runs and runs.writable else None, at_once=at_once)


@st.cache_resource(show_spinner=False)
def _opened() -> tuple[Store | None, str]:
    try:
        return Store(), ""
    except StoreError as error:
        return None, str(error)


def store() -> Store | None:
    """The runs on disk; None when they can be neither kept nor read."""
    return _opened()[0]


def store_problem() -> str:
    """What is wrong with the store, for people; empty when nothing is."""
    runs, problem = _opened()
    return runs.problem if runs else problem


@st.cache_resource(show_spinner=False)
def _read() -> OrderedDict[int, Stored]:
    return OrderedDict()


def record(number: int) -> Record:
    """A run as it is now: one of this process's jobs, or as the store has it. Raises StoreError."""
    if job := next((job for job in jobs() if job.number == number), None):
        return job
    if not store():
        raise StoreError(f"There is no run {number}.")
    known = _read()
    known[number] = found = store().open(number, known.pop(number, None))  # only what is new is read
    while len(known) > REMEMBERED:
        known.popitem(last=False)
    return found


@st.cache_resource(show_spinner=False, ttl=1, max_entries=REMEMBERED)
def _stored_lately(number: int) -> Record:
    return record(number)


def lately(number: int) -> Record:
    """`record` for what happens at every tick or stroke: the disk is asked once a second at most. Raises StoreError."""
    return next((job for job in jobs() if job.number == number), None) or _stored_lately(number)


class Weights(NamedTuple):
    """What answers for a run that does not train here."""

    network: Run  # to be asked, not trained
    epoch: int  # whole epochs done
    place: int  # steps done of the one after
    passed: tuple[str, ...]  # a sentence on every later checkpoint that cannot be used


@st.cache_resource(show_spinner=False, max_entries=8)
def _network(number: int, epoch: int, place: int, saved: float) -> Run | str:
    """Or why there is none: what is damaged is read but once, too."""
    run = store().open(number)
    file = next((kept.file for kept in store().checkpoints(number) if (kept.epoch, kept.place) == (epoch, place)), None)
    try:
        if file is None:
            raise CheckpointError("it is not there any more")
        checkpoint = read_checkpoint(file)
        return network(run.recipe_at(checkpoint.step), checkpoint)
    except CheckpointError as error:
        return str(error)


def stored_weights(run: Record, best: bool) -> Weights:
    """A run's network after its best epoch, or as it was saved last. Raises StoreError when there is none to be had."""
    epoch = run.history.best.epoch if best and run.history.best else None
    while epoch and run.branch and epoch < run.branch.epoch:
        run = record(run.branch.parent)  # who has the weights of what both have in common
    passed = []
    for kept in store().checkpoints(run.number) if store() else []:
        if epoch is None or (kept.epoch, kept.place) == (epoch, 0):
            with contextlib.suppress(FileNotFoundError):  # a later one took its place meanwhile
                found = _network(run.number, kept.epoch, kept.place, kept.file.stat().st_mtime)
                if isinstance(found, Run):
                    return Weights(found, kept.epoch, kept.place, tuple(passed))
                passed.append(f"The checkpoint {kept.file.name} of run {run.number} cannot be used: {found}.")
    where = f" of its best epoch, {epoch}" if epoch else ""
    raise StoreError(" ".join(passed) or f"Run {run.number} has no checkpoint{where}.")


@st.cache_resource(show_spinner=False, ttl=1, max_entries=8)
def _weights_lately(number: int, best: bool) -> Weights | str:
    try:
        return stored_weights(lately(number), best)
    except StoreError as error:
        return str(error)


def weights_lately(run: Record, best: bool) -> Weights:
    """`stored_weights` for what happens at every tick or stroke: the disk is asked once a second at most."""
    found = _weights_lately(run.number, best)
    if isinstance(found, str):
        raise StoreError(found)
    return found


def jobs() -> list[Job]:
    """Every job of this process, oldest first."""
    return list(conductor().jobs)


def shown_run() -> Job | None:
    """The run that the Train page shows: the one that this tab showed or chose, while it is active; else the last one
    that began of those under way, whichever tab did it; else the one that was over last.
    """
    runs, chosen = runs_here(), remember("train/shown", 0)
    going = [job for job in runs if job.active]
    began = [job for job in going if job.status != "queued"]
    ended = [job for job in runs if job.ended and (job.ready or job.status != "stopped")]  # not in the queue
    over = sorted(ended, key=lambda job: job.ended)
    picked = [job for job in going if job.number == chosen]
    return next((jobs[-1] for jobs in (picked, began, over, going, runs) if jobs), None)


def runs_here() -> list[Job]:
    """The jobs of this process that train on their own, oldest first: a contestant, too, once it goes on alone."""
    return [job for job in jobs() if job.race is None or job.resumed]


def latest_race() -> list[Record]:
    """All contestants of the last race of this process, or else of the newest one that is kept. Raises StoreError."""
    here = [job for job in jobs() if job.race]
    race = max((job.race for job in here), default=None)
    found = {job.number: job for job in here if job.race == race}
    for number in store().race(race) if store() else []:
        if number not in found:  # it is over, and no longer held here, or was never
            found[number] = lately(number)
    return [found[number] for number in sorted(found)]


class BranchPoint(NamedTuple):
    """The run, and the epoch of it, whose weights the next run begins with."""

    number: int
    name: str
    epoch: int
    recipe: Recipe  # by which it trained then


@dataclass
class Draft:
    """A recipe while it is being chosen: as a plain dict, so that it can hold what is not valid yet."""

    page: str
    name: str  # of the named recipe it started from
    start: dict
    values: dict
    generation: int = 0  # changes when another recipe is taken, so that its widgets start anew
    links: int = 0  # how many were opened; each starts the box of named recipes anew, which shows the name
    refused: list[Problem] = field(default_factory=list)  # what the last link asked for and could not have
    branch: BranchPoint | None = None  # where a run of this draft begins, if not at the beginning

    @property
    def run_name(self) -> str:
        """What a run of this draft is called."""
        if self.branch:
            return branch_name(self.branch.name, self.branch.epoch)
        unchanged = self.values == RECIPES[self.name].recipe.model_dump(mode="json")
        return self.name if unchanged else f"{self.name}{CHANGED}"

    def take(self, name: str, recipe: Recipe) -> None:
        self.take_values(name, recipe.model_dump(mode="json"))

    def take_values(self, name: str, values: dict) -> None:
        self.start, self.values = copy.deepcopy(values), values
        self.name, self.generation, self.refused, self.branch = name, self.generation + 1, [], None

    def take_branch(self, run: Record, epoch: int) -> None:
        """A run's recipe as it was after an epoch, for a run that begins there."""
        step = next(row.step for row in run.history.epochs if row.epoch == epoch)
        recipe = run.recipe_at(step)
        if recipe.epochs <= epoch:
            recipe = recipe.model_copy(update={"epochs": epoch + recipe.epochs})
        self.take(started_from(run), recipe)
        self.links += 1
        self.branch = BranchPoint(run.number, run.name, epoch, run.recipe_at(step))

    def changes(self) -> dict[str, Any]:
        """What was changed since the start, by dotted path."""
        start = _flat(self.start)
        return {path: value for path, value in _flat(self.values).items() if value != start.get(path)}

    def settle(self) -> None:
        """What was changed is the start of what is changed next; the widgets stay."""
        self.start = copy.deepcopy(self.values)

    def open_link(self, name: str, values: dict) -> None:
        self.take_values(name, values)
        self.links += 1


def started_from(run: Record) -> str:
    """The named recipe that a run's began as: by the run's name, or else the one that its recipe comes nearest to."""
    name = run.name.removesuffix(CHANGED)
    return name if name in RECIPES else nearest_named(run.recipe.model_dump(mode="json"))


def draft(page: str, run: Job | None = None) -> Draft:
    """This tab's draft for a page; at first that of the run which is there already, else the default recipe.

    Kept here because Streamlit forgets a widget's value as soon as the widget leaves the page.
    """
    key = f"draft/{page}"
    if key not in st.session_state:
        st.session_state[key] = Draft(page, DEFAULT, {}, {})
        st.session_state[key].take(
            started_from(run) if run else DEFAULT, run.recipe if run else RECIPES[DEFAULT].recipe
        )
    return st.session_state[key]


def steering_draft(job: Job) -> Draft:
    """This tab's controls of a run under way; they start anew when it was changed elsewhere."""
    key, wanted = f"draft/steer/{job.number}", job.wanted.model_dump(mode="json")
    held = st.session_state.setdefault(key, Draft(f"steer/{job.number}", DEFAULT, {}, {}))
    if held.start != wanted:
        held.take_values(held.name, wanted)
    return held


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    """A nested dict by dotted path."""
    found = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        found |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found


def parameters() -> dict[str, list[str]]:
    """What the page's address asks for. Streamlit keeps its own parameters, such as `embed`, out of sight."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def follow_address(draft: Draft) -> None:
    """Before the controls: take the recipe of a link, when the tab opens it and when Back or Forward leads to it.

    At any other time an address that differs is an old one: the browser has not heard of the new one yet.
    """
    opened = not remember(f"{draft.page}/opened", False)
    keep(f"{draft.page}/opened", True)
    if not opened and not _back_or_forward():
        return
    asked = {name: texts[-1] for name, texts in parameters().items() if opened or is_setting(name)}
    name, values, problems = from_link(asked)
    settings = {name: text for name, text in asked.items() if is_setting(name)}
    if settings and settings != to_link(draft.name, draft.values):
        draft.open_link(name, values)
    draft.refused = problems


def show_address(draft: Draft) -> None:
    """After the controls: the address says what they say, so that it can be shared; others' parameters stay.

    Only where it differs, since every change is an entry in the browser's history. But an address that was sent just
    before Back may reach the browser after it, and would then stand where Back led to: there it is sent once more.
    """
    if draft.values != draft.start:
        draft.refused = []  # told long enough: the person went on
    there, recipe = parameters(), {name: [text] for name, text in to_link(draft.name, draft.values).items()}
    others = {name: texts for name, texts in there.items() if not is_setting(name)}
    overtaken = _back_or_forward() and time.monotonic() < remember("address/sent", 0) + UNDER_WAY
    if there != others | recipe or overtaken:
        st.query_params.from_dict(others | recipe)
        keep("address/sent", time.monotonic())


def _back_or_forward() -> bool:
    """Whether this run of the page was asked for by the browser's buttons."""
    return get_script_run_ctx().is_history_navigation


def follow_selection(arrived: bool) -> None:
    """Before the table of runs: take those that the address names, as `?run=12&run=13`, when the person has just come
    to the page, and when Back or Forward leads there.
    """
    asked = parameters().get("run", [])
    if (arrived and asked) or _back_or_forward():
        select_runs(asked)


def show_selection() -> None:
    """After the table: the address names the runs that are selected."""
    there, selected = parameters(), selected_runs()
    wanted = {name: texts for name, texts in there.items() if name != "run"} | ({"run": selected} if selected else {})
    if there != wanted:
        st.query_params.from_dict(wanted)


def selected_runs() -> list[str]:
    """The ids that this tab has selected on the Runs page; as they come from the address, so they may be anything."""
    return remember("runs/selected", [])


def select_runs(ids: Iterable[str]) -> None:
    keep("runs/selected", list(dict.fromkeys(ids))[:MOST_SELECTED])


@st.cache_resource(show_spinner=False)
def _chosen_in_any_tab() -> dict[str, Any]:
    return {}


def choose_for_all(key: str, value) -> None:
    """`keep` what tabs that are opened later begin with, too."""
    keep(key, value)
    _chosen_in_any_tab()[key] = value


def chosen_for_all(key: str, default):
    """What this tab chose, or else what any tab chose last."""
    return remember(key, _chosen_in_any_tab().get(key, default))


def remember(key: str, default):
    """A value of this tab that outlives a visit to another page; set it with `keep`."""
    return st.session_state.get(f"kept/{key}", default)


def keep(key: str, value) -> None:
    st.session_state[f"kept/{key}"] = value


def widget(key: str, default=None):
    """The value of a widget on this page, for its own callback."""
    return st.session_state.get(key, default)


def set_widget(key: str, value) -> None:
    """Give a widget a value, before it is made in this run of the page."""
    st.session_state[key] = value
