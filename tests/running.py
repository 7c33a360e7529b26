"""Running: what the tests of runs share: small recipes, runs that are broken off and go on, and what a run's numbers
are.
"""

import contextlib
import multiprocessing
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Mnist5k, Moons, load
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine import driver as driving
from dlcore.engine.conductor import Conductor
from dlcore.engine.driver import Driver
from dlcore.engine.job import Job
from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.runs.records import Stored
from dlcore.runs.store import Store
from tests.waiting import wait_until

LONG = 60  # seconds that nothing here comes near
PER_EPOCH = 4  # steps
CRAWL = 0.001  # steps a second: a run is under way, and stays so, with one step or two
MOONS = Recipe(data=Moons(samples=200), model=MLP(widths=(8,)), batch_size=32, epochs=3)
DROPPING = Recipe(data=Moons(samples=200), model=MLP(widths=(8,), dropout=0.5), batch_size=32, epochs=6)


def changed(recipe: Recipe, **fields: Any) -> Recipe:
    return recipe.model_copy(update=fields)


ENDLESS = changed(MOONS, epochs=100000)


def settle(job: Job) -> None:
    """Wait until the step in hand is done: a question is answered between two steps."""
    job.ask(lambda run: None).result(LONG)


def stands_still(job: Job) -> bool:
    """Whether a job takes no step while others would take many."""
    settle(job)  # the step in hand is taken
    before = job.history.steps
    for _ in range(20):
        settle(job)
    return job.history.steps == before


def finish(*started: Job) -> None:
    for job in started:
        assert job.wait(LONG), f"{job.name} is {job.status}"


def take(job: Job, steps: int) -> None:
    """Take so many steps, and be paused with everything saved."""
    wait_until(lambda: job.ready, every=0.005)
    before = job.history.steps
    for _ in range(steps):
        job.step()
    epochs = (before + steps - job.offset) // job.steps_per_epoch
    wait_until(lambda: (job.history.steps, len(job.history.epochs)) == (before + steps, epochs), every=0.005)
    settle(job)
    if store := job._conductor.store:
        saved = lambda: store.open(job.number).history  # noqa: E731
        wait_until(lambda: measured(saved()) == measured(job.history) and saved().changes == job.history.changes)
        wait_until(lambda: not job._conductor.saver._followed.get(job))  # nor does a checkpoint wait
        settle(job)


def measured(history: History) -> tuple:
    """What a history holds, but for what a clock measures."""
    clocks = ("seconds", "steps_per_second")
    rows = [{name: value for name, value in row.items() if name not in clocks} for row in history.rows()]
    return history.losses.tobytes(), repr(rows)  # as text, where a number that is none equals itself


def weights(job: Job) -> list[bytes]:
    found = lambda run: [value.cpu().numpy().tobytes() for value in run.model.state_dict().values()]  # noqa: E731
    return job.ask(found).result(LONG)


def fingerprint(job: Job) -> tuple:
    """Everything that a finished run's numbers are, but for what a clock measures."""
    assert job.status == "finished", job.failure
    return *measured(job.history), weights(job), job.predicted.tobytes()


def alone(recipe: Recipe) -> tuple:
    """The fingerprint of a run that nothing disturbs and nothing keeps."""
    conductor = Conductor(threads=1)
    job = conductor.submit("alone", recipe)
    finish(job)
    found = fingerprint(job)
    conductor.close()
    return found


@contextlib.contextmanager
def opened(root: Path, **how: Any) -> Iterator[Conductor]:
    """A conductor with a store, closed afterwards: what is under way by then is interrupted."""
    conductor = Conductor(threads=1, store=Store(root), **how)
    try:
        yield conductor
    finally:
        conductor.close()
        conductor.store.close()


def stored(root: Path, number: int) -> Stored:
    """A run as another process finds it."""
    store = Store(root)
    with contextlib.closing(store):
        return store.open(number)


def forkserver() -> ForkServerContext:
    """Processes that have imported already what takes seconds: torch, its compiler, the scores."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.running", "torch._dynamo", "torchmetrics"])
    return context


def as_if_killed(store: Store, root: Path) -> Path:
    """The disk as it is now, which is what a killed process leaves behind; nothing may be about to be saved."""
    with contextlib.closing(sqlite3.connect(store.root / "dlcore.db", isolation_level=None)) as alone:
        alone.execute("BEGIN IMMEDIATE")  # nobody writes meanwhile: the copy is of one moment
        shutil.copytree(store.root, root, ignore=shutil.ignore_patterns("*.partial"))  # they come and go
    return root


def remove(root: Path) -> None:
    """Remove a folder as a person does while it is in use: what is written there just then is removed too."""
    while root.exists():
        shutil.rmtree(root, ignore_errors=True)


class Breaks:
    """Does something on the training thread after a number of events: steps, evaluations of a batch, epochs' ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._left, self._do = 0, lambda job: None
        monkeypatch.setattr(driving, "TURN", 0.0)  # an event a turn: the place is exact
        advance = Driver.advance

        def watched(driver: Driver) -> None:
            advance(driver)
            self._left -= not driver.trainer.over  # what is over is not to be broken off
            if self._left == 0 and not driver.trainer.over:
                self._do(driver.job)

        monkeypatch.setattr(Driver, "advance", watched)

    def after(self, events: int, do: Callable[[Job], Any]) -> None:
        self._left, self._do = events, do

    def stand_still(self, events: int) -> threading.Event:
        """After so many events, to be closed; the event that is returned tells when it is there."""
        there = threading.Event()

        def wait(job: Job) -> None:
            there.set()
            wait_until(lambda: job._conductor._closing, every=0.001)

        self.after(events, wait)
        return there


def in_pieces(breaks: Breaks, root: Path, recipe: Recipe, draw: random.Random, longest: int) -> tuple[Job, tuple, int]:
    """Train a run that is interrupted at random places by closing its conductor, until it is finished: the job, its
    fingerprint, and how often it was interrupted.
    """
    number, pieces = 0, 0
    while True:
        there = breaks.stand_still(draw.randint(1, longest))
        with opened(root) as conductor:
            job = conductor.resume(number) if number else conductor.submit("in pieces", recipe)
            number = job.number
            wait_until(lambda job=job, there=there: there.is_set() or not job.active, every=0.002)
            if not job.active:
                finish(job)
                return job, fingerprint(job), pieces
        pieces += 1
        assert job.status == stored(root, number).status == "interrupted"


def few_digits() -> Dataset:
    """A few of MNIST's digits, so that a convolutional network is quick."""
    full = load(Mnist5k())
    cut = lambda split, count: Split(split.inputs[:count], split.targets[:count])  # noqa: E731
    return Dataset(cut(full.train, 200), cut(full.validation, 100), cut(full.test, 100), full.mean, full.std)


Script = Sequence[tuple[int, Mapping[str, Any]]]


def course(
    root: Path, recipe: Recipe, script: Script, close_at: Collection[int] = (), kill_at: Collection[int] = ()
) -> tuple[Job, tuple, list]:
    """Train a run that is steered after some steps, to its end: the job, its fingerprint and its changes.

    It is closed, or killed, after other numbers of steps (after the changes made there), and then goes on.
    """
    conductor = Conductor(threads=1, store=Store(root))
    job, made = conductor.submit("steered", recipe, paused=True), 0
    try:
        for target in sorted({step for step, _ in script} | {*close_at} | {*kill_at}):
            take(job, target - job.history.steps)
            for step, changes in script[made:]:
                if step == target:
                    made += 1
                    job.steer(changes)
                    take(job, 0)
            if target in kill_at:
                before, root = root, as_if_killed(conductor.store, root.with_name(f"{root.name}-{target}"))
                assert before != root
            if target in close_at or target in kill_at:
                conductor.close()
                conductor = Conductor(threads=1, store=Store(root))
                job = conductor.resume(job.number, paused=True)
        job.resume()
        finish(job)
        assert job.wait_saved(LONG)
        kept = conductor.store.open(job.number).history
        assert measured(kept) == measured(job.history)
        assert kept.changes == job.history.changes
        return job, fingerprint(job), job.history.changes
    finally:
        conductor.close()
