"""A job: a run of this process, for everyone who is not the thread that trains it.

It reads one immutable state, which that thread alone replaces, and the run's history, to which that thread alone adds;
what it is asked to do goes into an inbox. So nothing here waits for training, and no field has two writers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from dlcore.engine.clocks import Stopwatch
from dlcore.history import History
from dlcore.recipe import Recipe, steer
from dlcore.runs import commands, operations
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.film import Film
from dlcore.runs.operations import is_operation
from dlcore.runs.records import PACE, Branch, Failure, Record, Status, checked_pace
from dlcore.settings import Problem, SettingsError

if TYPE_CHECKING:  # it needs PyTorch, and a page that shows runs does not
    from dlcore.engine.training import Run

Outcome = Literal["finished", "stopped", "failed", "interrupted"]


class Command(NamedTuple):
    """What a person asks of a run, in the words and with the values in which another process asks it."""

    kind: commands.Command
    value: Any = None


class Wishes(NamedTuple):
    """What commands come to, as far as it is not done yet."""

    paused: bool = False
    steps: int = 0  # asked for one by one
    stopping: bool = False
    changes: Mapping[str, Any] = {}

    def after(self, command: Command) -> Wishes:
        match command.kind:
            case "pause":
                return self._replace(paused=True)
            case "resume":
                return self._replace(paused=False, steps=0)
            case "step":
                return self._replace(paused=True, steps=self.steps + 1)
            case "stop":
                return self._replace(stopping=True)
            case "pace":
                return self._replace(changes={**self.changes, PACE: command.value})
            case "steer":
                return self._replace(changes={**self.changes, **command.value})


@dataclass(frozen=True)
class State:
    """All that can be known of a job at one time, but for its history. Nothing of it ever changes."""

    recipe: Recipe  # as it is now
    wishes: Wishes
    ready: bool = False  # whether there is a network to ask
    outcome: Outcome | None = None
    ended: int = 0  # its place in the order of all ends; 0 before its own
    reason: str = ""  # why it ended before its last epoch, as part of a sentence
    failure: Failure | None = None
    clock: Stopwatch = field(default_factory=Stopwatch)
    lately: tuple[int, float] = (0, 0.0)  # steps and seconds since which the speed is measured
    stepping: float = 0.0  # seconds in training steps
    working: float = 0.0  # seconds in training and evaluation
    pace: float | None = None  # steps a second, None for full speed
    steps_per_epoch: int = 0  # 0 until the data are there
    offset: int = 0
    targets: np.ndarray | None = None  # of the validation split
    predicted: np.ndarray | None = None  # for the validation split, after the last whole epoch
    best: Checkpoint | None = None  # after the best epoch since this process trains the run
    film: Film = field(default_factory=Film)
    downloaded: float = 0.0  # share of the data, while they are fetched
    saved_epochs: int = 0  # how many are on disk
    trouble: str = ""  # why it cannot be saved, and therefore waits
    notices: tuple[str, ...] = ()  # what a person should know of how it went on


@dataclass(eq=False, kw_only=True)
class Moment(Record):
    """A job as it was: nothing of it changes any more, while the job goes on. See `State` for what its parts mean."""

    status: Status = "preparing"
    elapsed: float = 0.0
    stepping: float = 0.0
    steps_per_second: float = 0.0
    targets: np.ndarray | None = None
    predicted: np.ndarray | None = None
    downloaded: float = 0.0
    trouble: str = ""
    notices: tuple[str, ...] = ()


TAKEN = [part.name for part in fields(Moment) if part.name != "history"]


def _of_state(name: str) -> property:
    return property(lambda job: getattr(job.state, name))


class Conducts(Protocol):
    """What a job needs of whoever has it trained."""

    def hear(self, job: Job) -> None:
        """Something came into the job's inbox."""

    def queued(self, job: Job) -> bool:
        """Whether it waits for its turn to begin."""

    def ask(self, job: Job, function: Callable[[Run], Any], gradients: bool) -> Future:
        """As by `Job.ask`."""


class Job(Record):
    """A recipe on its way. May be used from any thread."""

    recipe = _of_state("recipe")
    ready = _of_state("ready")
    ended = _of_state("ended")
    reason = _of_state("reason")
    failure = _of_state("failure")
    best = _of_state("best")
    film = _of_state("film")
    predicted = _of_state("predicted")
    targets = _of_state("targets")
    downloaded = _of_state("downloaded")
    stepping = _of_state("stepping")
    steps_per_epoch = _of_state("steps_per_epoch")
    offset = _of_state("offset")
    saved_epochs = _of_state("saved_epochs")
    trouble = _of_state("trouble")
    notices = _of_state("notices")

    def __init__(
        self,
        conductor: Conducts,
        number: int,
        name: str,
        first_recipe: Recipe,
        history: History,
        state: State,
        *,
        branch: Branch | None = None,
        created: float = 0.0,
        race: int | None = None,
        resumed: bool = False,
        in_turn: bool = False,
        threads: int = 0,
    ):
        self.number, self.name, self.first_recipe, self.history = number, name, first_recipe, history
        self.branch, self.created, self.race = branch, created or time.time(), race
        self.resumed = resumed  # it goes on from where it was left, on its own
        self.in_turn = in_turn  # begins when nothing else is under way
        self.threads = threads  # cores that a step may use
        self.state = state  # replaced by the thread that trains
        self.inbox: deque[Command] = deque()  # emptied by it
        self.over, self.saved = threading.Event(), threading.Event()
        self.driver: Any = None  # for the thread that trains
        self._conductor = conductor
        self._steering = threading.Lock()  # for those who steer: one after another

    @property
    def status(self) -> Status:
        wishes, state = self.wishes, self.state  # in this order: see there
        if state.outcome:
            return state.outcome
        if self._conductor.queued(self):
            return "queued"
        if wishes.paused or state.trouble:
            return "paused"
        return "training" if state.ready else "preparing"

    @property
    def active(self) -> bool:
        return not self.state.outcome

    @property
    def wishes(self) -> Wishes:
        """What is asked of the run, heard or about to be heard."""
        waiting = tuple(self.inbox)  # first: what is heard meanwhile counts twice, and not never
        wishes = self.state.wishes
        for command in waiting:
            wishes = wishes.after(command)
        return wishes

    @property
    def pace(self) -> float | None:
        """Steps a second at most, None for full speed."""
        return self.wishes.changes.get(PACE, self.state.pace)

    @property
    def group(self) -> int:
        """The same for all that race with each other, and for nobody else."""
        return self.race or self.number

    @property
    def elapsed(self) -> float:
        """Seconds on the clock, pauses left out."""
        return self.state.clock.read()

    @property
    def evaluating(self) -> float:
        """Seconds spent in evaluation, of those that have elapsed."""
        return self.state.working - self.state.stepping

    @property
    def steps_per_second(self) -> float:
        """What a person gets: while it trains, over the last few seconds on the clock; then over all of them."""
        state, steps = self.state, self.history.steps
        since_steps, since = (0, 0.0) if state.outcome else state.lately
        seconds = state.clock.read() - since
        return (steps - since_steps) / seconds if seconds > 0 else 0.0

    def now(self) -> Moment:
        """The run as it is now, so that all that is drawn of it tells of the same steps."""
        # Before the history: who finds `finished` finds all steps.
        known = {name: getattr(self, name) for name in TAKEN}
        return Moment(**known, history=self.history.frozen())

    def pause(self) -> None:
        self._tell(Command("pause"))

    def resume(self) -> None:
        self._tell(Command("resume"))

    def step(self) -> None:
        """Take one training step and be paused; a step that ends an epoch evaluates it too."""
        self._tell(Command("step"))

    def stop(self) -> None:
        """End after the step in hand; what was learned is kept."""
        self._tell(Command("stop"))

    def set_pace(self, pace: float | None) -> None:
        """Steps a second at most, or None for full speed. Raises SettingsError for a pace that cannot be."""
        checked_pace(pace)
        if pace != self.pace:
            self._tell(Command("pace", pace))

    def steer(self, changes: Mapping[str, Any]) -> None:
        """Change settings before the next step, by dotted path (`recipe.steerable` names them), or operate on the
        network (`runs.operations`); each change becomes part of the history. Raises SettingsError with every problem in
        words, and then changes nothing.
        """
        with self._steering:
            steered(self.recipe, self._epochs_begun, self._coming() | changes)
            self._tell(Command("steer", dict(changes)))

    @property
    def wanted(self) -> Recipe:
        """The recipe with the changes that were asked for, made or about to be made."""
        coming = self._coming()
        return steer(self.recipe, coming) if coming else self.recipe

    def _coming(self) -> dict[str, Any]:
        """What is about to be made of the recipe; an epoch that has begun meanwhile is not taken back."""
        made = self.wishes.changes.items()
        coming = {path: value for path, value in made if path != PACE and not is_operation(path)}
        if "epochs" in coming:
            coming["epochs"] = max(coming["epochs"], self._epochs_begun)
        return coming

    @property
    def _epochs_begun(self) -> int:
        return max(self.epoch, len(self.history.epochs))

    def ask(self, function: Callable[[Run], Any], *, gradients: bool = False) -> Future:
        """Have `function(run)` called between two steps, in eval and inference mode, or with `gradients` so that it can
        derive; the run's own gradients and random state are as before. The same while training, paused or over. Raises
        RuntimeError when there is no network.
        """
        if not self.ready:
            raise RuntimeError(f"{self.name} has no network {'yet' if self.active else 'any more'}.")
        return self._conductor.ask(self, function, gradients)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over; False when it is not within `timeout` seconds."""
        return self.over.wait(timeout)

    def wait_saved(self, timeout: float | None = None) -> bool:
        """Wait until the job is over and in the store for good; False when it is not within `timeout` seconds."""
        return self.saved.wait(timeout)

    def _tell(self, command: Command) -> None:
        if self.active:
            self.inbox.append(command)
            self._conductor.hear(self)


def steered(recipe: Recipe, begun: int, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a run of which so many epochs have begun, with changes, operations among them. Raises SettingsError
    with every problem in words.
    """
    problems, changed = operations.problems(recipe, changes), recipe
    try:
        if settings := {path: value for path, value in changes.items() if not is_operation(path)}:
            changed = steer(recipe, settings)
    except SettingsError as error:
        problems += error.problems
    if changed.epochs < begun:
        told = f"epochs is {changed.epochs}, but epoch {begun} has begun; the nearest is {begun}."
        problems.append(Problem("epochs", told))
    if problems:
        raise SettingsError(problems)
    return changed
