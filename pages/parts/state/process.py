"""What belongs to the process, and so to all tabs: the conductor, the runs on disk, and what was read of them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from dlcore.engine.job import Job
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.checkpoints import read as read_checkpoint
from dlcore.runs.film import MOST
from dlcore.runs.records import Record, Stored
from dlcore.runs.store import Store, StoreError

if TYPE_CHECKING:
    from dlcore.engine.conductor import Conductor
    from dlcore.engine.training import Run

AT_ONCE = 2  # runs, or races, under way at a time, unless the person says otherwise
REMEMBERED = 32  # stored runs whose histories stay in memory


ENGINE = "dlcore.engine.conductor"  # which imports PyTorch, for seconds


@functools.cache
def bring_engine() -> None:
    """Have the engine imported, once in a process, while people look at the first page."""
    threading.Thread(target=importlib.import_module, args=(ENGINE,), name="importing", daemon=True).start()


def engine_is_here() -> bool:
    """Whether it is imported: until then nothing trains, and a page does without what takes PyTorch."""
    return hasattr(sys.modules.get(ENGINE), "Conductor")


@st.cache_resource(show_spinner=False)
def conductor() -> Conductor:
    """The one that trains, for all tabs."""
    from dlcore.engine.conductor import Conductor

    runs = store()
    at_once = runs.setting("at_once", AT_ONCE) if runs else AT_ONCE
    threads = runs.setting("threads", 0) if runs else 0
    threads = min(threads, os.cpu_count() or 1) or None  # there may have been more when it was chosen
    frames = runs.setting("frames", MOST) if runs else MOST
    return Conductor(threads, runs if runs and runs.writable else None, at_once, frames)


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


def jobs() -> list[Job]:
    """Every job of this process, oldest first."""
    return list(conductor().jobs) if engine_is_here() else []


def runs_here() -> list[Job]:
    """The jobs of this process that train on their own, oldest first: a contestant, too, once it goes on alone."""
    return [job for job in jobs() if job.race is None or job.resumed]


@st.cache_resource(show_spinner=False)
def _read() -> OrderedDict[int, Stored]:
    return OrderedDict()


def record(number: int) -> Record:
    """A run as it is now: one of this process's jobs, or as the store has it. Raises StoreError."""
    if job := next((job for job in jobs() if job.number == number), None):
        return job
    if not store():
        raise StoreError(f"There is no run {number}.")
    read = _read()
    read[number] = run = store().open(number, read.pop(number, None))  # only what is new is read
    while len(read) > REMEMBERED:
        read.popitem(last=False)
    return run


@st.cache_resource(show_spinner=False, ttl=1, max_entries=REMEMBERED)
def _stored_lately(number: int) -> Record:
    return record(number)


def lately(number: int) -> Record:
    """`record` for what happens at every tick or stroke: the disk is asked once a second at most. Raises StoreError."""
    return next((job for job in jobs() if job.number == number), None) or _stored_lately(number)


def latest_race() -> list[Record]:
    """All contestants of the last race of this process, or else of the newest one that is kept. Raises StoreError."""
    here = [job for job in jobs() if job.race]
    race = max((job.race for job in here), default=None)
    runs = {job.number: job for job in here if job.race == race}
    for number in store().race(race) if store() else []:
        if number not in runs:  # it is over, and no longer held here, or was never
            runs[number] = lately(number)
    return [runs[number] for number in sorted(runs)]


class Weights(NamedTuple):
    """What answers for a run that does not train here."""

    network: Run  # to be asked, not trained
    epoch: int  # whole epochs done
    place: int  # steps done of the one after
    passed: tuple[str, ...]  # a sentence on every later checkpoint that cannot be used


@st.cache_resource(show_spinner=False, max_entries=8)
def _network(number: int, epoch: int, place: int, saved: float) -> Run | str:
    """Or why there is none: what is damaged is read but once, too."""
    from dlcore.engine.capture import network

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
                answer = _network(run.number, kept.epoch, kept.place, kept.file.stat().st_mtime)
                if not isinstance(answer, str):
                    return Weights(answer, kept.epoch, kept.place, tuple(passed))
                passed.append(f"The checkpoint {kept.file.name} of run {run.number} cannot be used: {answer}.")
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
    weights = _weights_lately(run.number, best)
    if isinstance(weights, str):
        raise StoreError(weights)
    return weights


@st.cache_resource(show_spinner=False)
def chosen_in_any_tab() -> dict[str, Any]:
    """What the tabs chose last of what later ones begin with."""
    return {}
