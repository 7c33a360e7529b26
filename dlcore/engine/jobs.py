"""Jobs: one thread trains, and everyone else asks.

A `Conductor` takes turns among its jobs' generators, some milliseconds each. Its thread alone touches networks; whoever
wants something of one hands over a function (`Job.ask`), which runs between two steps. Every job's random state is kept
and swapped in for its turns, so that a run's numbers are the same alone or beside others. Jobs live as long as the
process, finished or not.
"""

import atexit
import contextlib
import itertools
import math
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np
import torch

from dlcore.catalogue.datasets import DataError, load
from dlcore.catalogue.splits import Dataset
from dlcore.engine.randomness import RandomState
from dlcore.engine.training import EpochEnd, Place, Run, Step, build, score, train
from dlcore.engine.training import steer as steer_run
from dlcore.history import LOST, MEASURES, Epoch, History
from dlcore.recipe import Recipe, steer
from dlcore.runs.checkpoints import Checkpoint, CheckpointError, capture, fits, restore
from dlcore.runs.records import PACE, Branch, Failure, Record, Status, checked_name, checked_pace
from dlcore.runs.saving import Saver
from dlcore.runs.store import Store, StoreError
from dlcore.settings import Problem, SettingsError

Outcome = Literal["finished", "stopped", "failed", "interrupted"]
TURN = 0.02  # seconds that a job trains before the next one has its turn
CHECK = 0.2  # seconds between two looks for a loss that is not a number
LATELY = 15  # such looks over which the speed is measured
AT_HAND = 20  # runs or races that keep their networks when they are over, where no store has them

_numbers, _ends = itertools.count(1), itertools.count(1)


class Job(Record):
    """A recipe on its way. What is public may be used from any thread, and never waits for training."""

    def __init__(
        self,
        conductor: "Conductor",
        name: str,
        recipe: Recipe,
        race: int | None,
        pace: float | None,
        checkpoint: Checkpoint | None = None,
        **known: Any,
    ):
        """`checkpoint`: where to begin; `known`: what a record knows of a run that goes on (`Record`)."""
        self.resumed = "number" in known  # it goes on from where it was left, on its own
        super().__init__(known.pop("number", 0) or next(_numbers), name, recipe, race=race, **known)
        self.targets: np.ndarray | None = None  # of the validation split
        self.predicted: np.ndarray | None = None  # for the validation split, after the last whole epoch
        self.downloaded = 0.0  # share of the data, while they are fetched
        self.pace = pace  # steps a second, None for full speed
        if pace and not self.resumed:
            self.history.change({PACE: pace})  # so that it holds when the run goes on
        self.ended = 0  # its place in the order of all ends; 0 before its own
        self.best: Checkpoint | None = None  # after the best epoch since this process trains the run
        self.saved_epochs = 0  # how many are on disk
        self.trouble = ""  # why it cannot be saved, and therefore waits
        self.notices: list[str] = []  # what a person should know of how it went on

        self._conductor = conductor
        self._outcome: Outcome | None = None
        self._over, self._kept = threading.Event(), threading.Event()
        self._queued = self._paused = self._stopping = False
        self._in_turn = False  # begins when nothing else is under way
        self._steps_due = 0  # asked for one by one
        self._evaluating = False  # what follows a single step that ended an epoch
        self._next_step = 0.0  # when a paced job may go on
        self._steering: dict[str, Any] = {}  # changes to make before the next step
        self._followed = 0  # changes of the history that are made
        self._checkpoint = checkpoint
        self._run: Run | None = None
        self._used = 0.0  # seconds of the training thread that count when turns are given
        self._events: Iterator | None = None
        self._random: RandomState | None = None
        self._elapsed, self._since = 0.0, None  # a stopwatch that stands while paused
        self._stepping = self._working = 0.0  # seconds spent in training steps, and in all
        self._place = Place()
        if checkpoint:
            self._elapsed, self._stepping = checkpoint.elapsed, checkpoint.stepping
            self._working, self._place = checkpoint.working, Place(checkpoint.epochs, checkpoint.place)
        self._captured = self._place  # where the last checkpoint was made
        self._last_epoch = (self.history.steps, self._elapsed)  # steps and seconds at its end
        self._lately = deque([self._last_epoch], LATELY)
        self._checked = 0.0

    @property
    def status(self) -> Status:
        if self._outcome:
            return self._outcome
        if self._queued:
            return "queued"
        if self._paused or self.trouble:
            return "paused"
        return "training" if self._run else "preparing"

    @property
    def steps_per_second(self) -> float:
        """What a person gets: while it trains, over the last few seconds on the clock; then over all of them."""
        since_steps, since = self._lately[0] if self.active else (0, 0.0)
        seconds = self.elapsed - since
        return (self.history.steps - since_steps) / seconds if seconds > 0 else 0.0

    @property
    def group(self) -> int:
        """The same for all that race with each other, and for nobody else."""
        return self.race or self.number

    @property
    def ready(self) -> bool:
        """Whether there is a network to ask."""
        return self._run is not None

    @property
    def elapsed(self) -> float:
        with self._conductor.wakeup:  # between the two, the stopwatch may stop
            return self._elapsed + (time.monotonic() - self._since if self._since else 0.0)

    @property
    def stepping(self) -> float:
        return self._stepping

    @property
    def evaluating(self) -> float:
        """Seconds spent in evaluation, of those that have elapsed."""
        return self._working - self._stepping

    def pause(self) -> None:
        self._change(_paused=True)

    def resume(self) -> None:
        self._change(_paused=False, _steps_due=0)

    def step(self) -> None:
        """Take one training step and be paused; a step that ends an epoch evaluates it too."""
        with self._conductor.wakeup:
            self._change(_paused=True, _steps_due=self._steps_due + 1)

    def stop(self) -> None:
        """End after the step in hand; what was learned is kept."""
        self._change(_stopping=True)

    def set_pace(self, pace: float | None) -> None:
        """Steps a second at most, or None for full speed. Raises SettingsError for a pace that cannot be."""
        checked_pace(pace)
        with self._conductor.wakeup:
            noted = {PACE: pace} if pace != self.pace else {}
            self._change(pace=pace, _next_step=0.0, _steering=self._steering | noted)

    def steer(self, changes: Mapping[str, Any]) -> None:
        """Change settings before the next step, by dotted path (`recipe.steerable` names them); each change becomes
        part of the history. Raises SettingsError with every problem in words, and then changes nothing.
        """
        while True:
            before = self._steering
            steered(self, self._coming() | changes)  # takes its time, in which nobody has to wait
            with self._conductor.wakeup:
                if self._steering is before:
                    return self._change(_steering=before | changes)

    @property
    def wanted(self) -> Recipe:
        """The recipe with the changes that were asked for, made or about to be made."""
        with self._conductor.wakeup:
            coming = self._coming()
            return steer(self.recipe, coming) if coming else self.recipe

    def _coming(self) -> dict[str, Any]:
        """What is about to be made, but for the pace; an epoch that has begun meanwhile is not taken back."""
        coming = {path: value for path, value in self._steering.items() if path != PACE}
        if "epochs" in coming:
            coming["epochs"] = max(coming["epochs"], _epochs_begun(self))
        return coming

    def ask(self, function: Callable[[Run], Any]) -> Future:
        """Have `function(run)` called between two steps, in eval and inference mode and without touching the run's
        random state; the same while training, paused or over. Raises RuntimeError when there is no network.
        """
        if not self.ready:
            raise RuntimeError(f"{self.name} has no network {'yet' if self.active else 'any more'}.")
        return self._conductor.ask(self, function)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over; False when it is not within `timeout` seconds."""
        return self._over.wait(timeout)

    def wait_saved(self, timeout: float | None = None) -> bool:
        """Wait until the job is over and in the store for good; False when it is not within `timeout` seconds."""
        return self._kept.wait(timeout)

    def _change(self, **state: Any) -> None:
        with self._conductor.wakeup:
            if self.active:
                vars(self).update(state)
                if self._steering:
                    self._conductor.steered.add(self)
                self._watch()
                self._conductor.wakeup.notify()

    def _watch(self) -> None:
        """Start or stop the stopwatch, as the status wants."""
        with self._conductor.wakeup:
            running = self.status == "training"
            if running and self._since is None:
                self._since = time.monotonic()
            elif not running and self._since is not None:
                self._elapsed, self._since = self.elapsed, None

    # From here on: for the conductor's thread.

    def _may_go_on(self) -> bool:
        if self._stopping or not self.active or not self._run or self.trouble:
            return False
        return (self._steps_due > 0 or self._evaluating) if self._paused else self._next_step <= time.monotonic()

    def _begin(self, data: Dataset) -> None:
        self.steps_per_epoch = self.recipe.steps_per_epoch(len(data.train))
        self.offset = self.history.steps - self._place.epochs * self.steps_per_epoch - self._place.steps
        self.targets = data.validation.targets.cpu().numpy()
        run = build(self.recipe_at(self._settled), data)
        self._random = RandomState(self.recipe.device)
        if self._checkpoint:
            try:
                self._random, _ = restore(run, self._checkpoint)
            except CheckpointError as error:
                raise StoreError(f"Run {self.number} cannot go on from its checkpoint: {error}.") from error
            self._checkpoint = None
        self._followed = sum(change.step <= self._settled for change in self.history.changes)
        reason = self._over_already()
        if reason or (self._place.epochs >= self.recipe.epochs and not self._place.steps):
            self.predicted = score(run, data.validation).predicted  # no epoch's end will tell
        self._events, self._run = train(run, self._place), run
        self._watch()
        if reason:
            self._end("finished", reason=reason)

    @property
    def _settled(self) -> int:
        """The step up to which changes count: those after an epoch's last step wait until it is evaluated."""
        return self.history.steps - (self._place.steps == self.steps_per_epoch)

    def _over_already(self) -> str:
        """Why a run is over that was interrupted between an epoch's end and its own; not by rules of its parent, nor
        when it went on from there, by rules that were changed.
        """
        step = self.history.steps
        if self._place.steps or step == (self.branch.step if self.branch else 0):
            return ""
        before, now = (self.recipe_at(at).stop.after_epoch(self.history) for at in (step - 1, step))
        return now if before else ""

    def _answer(self, function: Callable[[Run], Any]) -> Any:
        if not self.ready:
            raise RuntimeError(f"{self.name} has no network any more.")
        before = RandomState(self.recipe.device)
        self._run.model.eval()
        try:
            with torch.inference_mode():
                return function(self._run)
        finally:
            before.restore()

    def _turn(self, interrupted: Callable[[], bool]) -> None:
        """Train for some milliseconds, with this run's own random state."""
        start = time.monotonic()
        self._random.restore()
        try:
            while self._may_go_on():
                self._follow_changes()
                self._advance()
                if interrupted() or time.monotonic() >= start + TURN:
                    break
        except StopIteration:
            self._look()
            self._end("finished")
        finally:
            self._random.save()
            self._used += time.monotonic() - start
        if time.monotonic() - self._checked > CHECK:
            self._look()
        if self.active and (reason := self.recipe.stop.out_of_time(self.elapsed)):
            self._end("finished", reason=reason)

    def _take_changes(self) -> None:
        """Make the changes that were asked for."""
        with self._conductor.wakeup:
            if not self.active:
                return
            asked, changes, self._steering = self._steering, self._steering | self._coming(), {}
            if (last := changes.get("epochs")) != asked.get("epochs"):
                self.notices.append(
                    f"Epoch {last} had begun when the epochs were set to {asked['epochs']}: it is the last."
                )
            self.history.change(changes)
            self.recipe = self.recipe_at(self.history.steps)
            if self._run:
                self._followed = sum(change.step < self.history.steps for change in self.history.changes)
                self._follow_changes()
            self._save()

    def _follow_changes(self) -> None:
        """Train by what the history says of this step: of changes just made, and of those that a run repeats which goes
        on from an earlier place.
        """
        coming = self.history.changes[self._followed :]
        if coming and coming[0].step <= self._settled:
            due = [change for change in coming if change.step <= self._settled]
            self._followed += len(due)
            self.pace = next((change.value for change in reversed(due) if change.setting == PACE), self.pace)
            self.recipe = self.recipe_at(self.history.steps)
            steer_run(self._run, self.recipe)

    def _advance(self) -> None:
        """From one yield of the loop to the next."""
        start, standing = time.perf_counter(), self._since is None
        event = next(self._events)
        last = isinstance(event, Step) and self._place.steps + 1 == self.steps_per_epoch
        if last and self.recipe.device == "cuda":
            torch.cuda.synchronize()  # or the epoch's training would be billed to its evaluation
        spent = time.perf_counter() - start
        self._working += spent
        if standing:  # a single step while paused
            self._elapsed += spent
        if isinstance(event, Step):
            self._stepping += spent
            self.history.add_step(event.loss)
            self._place = Place(self._place.epochs, self._place.steps + 1)
            with self._conductor.wakeup:  # or a step that is asked for meanwhile would be lost
                if self._steps_due:
                    self._steps_due -= 1
                    self._evaluating = last
            if pace := self.pace:  # once: it may change meanwhile
                now = time.monotonic()
                self._next_step = max((self._next_step or now) + 1 / pace, now)
        elif isinstance(event, EpochEnd):
            self._place = Place(event.epoch)
            self._record(event)
            self._evaluating = self._evaluating and event.epoch == self.recipe.epochs  # the last goes on to the end

    def _record(self, end: EpochEnd) -> None:
        steps, elapsed = self.history.steps - self._last_epoch[0], self.elapsed - self._last_epoch[1]
        self._last_epoch = (self.history.steps, self.elapsed)
        row = Epoch(
            epoch=end.epoch,
            step=self.history.steps,
            train_loss=end.train.loss,
            train_accuracy=end.train.accuracy,
            val_loss=end.validation.loss,
            val_accuracy=end.validation.accuracy,
            lr=end.lr,
            seconds=self._working,
            steps_per_second=steps / elapsed if elapsed else 0.0,
        )
        self.predicted = end.validation.predicted
        self.history.add_epoch(row)
        stop = self._run.recipe.stop
        if stop.not_a_number and not math.isfinite(row.train_loss + row.val_loss):
            self._look()
            raise DivergenceError(self.history.steps, row.lr)
        self._random.save()
        best, saver = row is self.history.best, self._conductor.saver
        checkpoint = self._capture() if best or (saver and saver.wants(self, row.epoch)) else None
        if best:
            self.best = checkpoint
        self._save(checkpoint)
        if reason := stop.after_epoch(self.history):
            self._end("finished", reason=reason)

    def _capture(self) -> Checkpoint:
        self._captured = self._place
        clocks = {"elapsed": self.elapsed, "stepping": self._stepping, "working": self._working}
        return capture(self._run, self._random, *self._place, step=self.history.steps, **clocks)

    def _save(self, checkpoint: Checkpoint | None = None, last: bool = False) -> None:
        if self._conductor.saver:
            self._conductor.saver.save(self, checkpoint, last)

    def _look(self) -> None:
        """Raise DivergenceError when a loss is not a number; reads the losses that wait."""
        self._checked = time.monotonic()
        self._lately.append((self.history.steps, self.elapsed))
        self.history.settle()
        if self.history.first_bad_step is not None and self.recipe.stop.not_a_number:
            raise DivergenceError(self.history.first_bad_step, self._run.optimizer.param_groups[0]["lr"])

    def _end(self, outcome: Outcome, failure: Failure | None = None, reason: str = "") -> None:
        """Whatever happens here, the run is over after it: what cannot be ended as it should has failed."""
        if not self.active:
            return
        place = None
        try:
            if self._events:
                self._events.close()
            self.history.settle()
            # What a failed run held last is of no use; where another one stands is.
            if self._run and self._place != self._captured and outcome != "failed" and self._conductor.saver:
                place = self._capture()
        except Exception as error:  # such as memory that is too small for a copy
            self.history.give_up()
            outcome, failure, reason = "failed", failure or failure_of(error), ""
        self.failure, self.reason, self._events = failure, reason, None
        with self._conductor.wakeup:
            self._outcome, self.ended = outcome, next(_ends)
            self._watch()
        try:
            self._save(place, last=True)
        except Exception as error:  # nobody is left to tell but the page
            self.trouble = f"Its end cannot be saved: {failure_of(error).text}"
        self._over.set()


class DivergenceError(ArithmeticError):
    """The loss became infinite or not a number."""

    def __init__(self, step: int, lr: float):
        super().__init__(
            f"The loss stopped being a finite number at step {step}. Try a smaller learning rate "
            f"({lr / 10:.2g} instead of {lr:.2g}), a warm-up or one-cycle schedule, or another loss."
        )


def failure_of(error: Exception) -> Failure:
    if isinstance(error, DataError | DivergenceError | StoreError):  # sentences of our own
        return Failure(str(error))
    text = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    return Failure(text, "".join(traceback.format_exception(error)))


def prepare() -> None:
    """Import what the first run of a process needs. It takes seconds, and would hold up all on the training thread."""
    import sklearn.metrics  # noqa: F401 - for the first evaluation

    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports PyTorch's compiler


def steered(record: Record, changes: Mapping[str, Any]) -> Recipe:
    """The recipe of a run that has begun, with changes. Raises SettingsError with every problem in words."""
    recipe = steer(record.recipe, changes)
    begun = _epochs_begun(record)
    if recipe.epochs < begun:
        told = f"epochs is {recipe.epochs}, but epoch {begun} has begun; the nearest is {begun}."
        raise SettingsError([Problem("epochs", told)])
    return recipe


def _taken_over(parent: Record, step: int, recipe: Recipe) -> History:
    """What a branch with this recipe has of its parent's history. Where it is measured by something else, that is a
    change like any other: figures of before are shown, and not compared.
    """
    made = [change for change in parent.history.changes if change.step <= step]
    before, measured = parent.recipe_at(step), {change.setting for change in made if change.step == step}
    history = History(
        parent.history.losses[:step],
        [row for row in parent.history.epochs if row.step <= step],
        [change for change in made if (change.step < step or change.setting == LOST) and change.setting != PACE],
    )
    for setting in MEASURES:
        part = setting.removesuffix(".kind")
        if getattr(before, part) != getattr(recipe, part) or setting in measured:
            history.change({setting: getattr(recipe, part).kind})
    return History(history.losses, history.epochs[:], history.changes)


def _epochs_begun(record: Record) -> int:
    return max(record.epoch, len(record.history.epochs))


def branch_problems(parent: Recipe, epoch: int, recipe: Recipe) -> list[Problem]:
    """What keeps a recipe from going on with the weights that another one had after an epoch."""
    problems = recipe.problems()
    if not problems and not fits(parent, recipe):
        told = (
            "A branch goes on with the weights of its parent, so the network must be the same: leave the layers' sizes "
            "and the number of outputs as they are (activation and dropout may change)."
        )
        problems.append(Problem("model", told))
    if recipe.epochs <= epoch:
        told = f"epochs is {recipe.epochs}, but the branch begins after epoch {epoch}; the nearest is {epoch + 1}."
        problems.append(Problem("epochs", told))
    return problems


class Conductor:
    """Trains jobs on a thread of its own, which starts with the first one.

    One conductor a process, whatever the devices: PyTorch's default generators belong to the process, and only one
    thread can swap them.
    """

    def __init__(self, threads: int | None = None, store: Store | None = None, at_once: int | None = None):
        """`threads`: how many cores a step's arithmetic may use; half of them by default. `store`: where runs are kept;
        without one, they are gone with the process. `at_once`: see `set_at_once`.

        The other half is for the server and the browser: threads that share a step wait for the slowest of them, and
        beside a busy neighbour each step then takes many times as long.
        """
        self.jobs: list[Job] = []
        self.queue: list[list[Job]] = []  # runs and races that wait their turn, the next one first
        self.at_once = at_once
        self.store = store
        self.saver = Saver(store, self._saved) if store else None
        self.wakeup = threading.Condition()
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self.steered: set[Job] = set()  # jobs with changes that are to be made
        self._arrived: deque[tuple[Job, Dataset | Exception]] = deque()  # data, or why there are none
        self._questions: deque[tuple[Job, Callable, Future]] = deque()
        self._served = 0.0  # seconds that the job has used which had the last turn
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(
        self, name: str, recipe: Recipe, *, pace: float | None = None, paused: bool = False, in_turn: bool = False
    ) -> Job:
        """Start a job; `in_turn`: when nothing else is under way.

        Raises SettingsError for a recipe that has problems, StoreError when it cannot be kept.
        """
        return self._start([(name, recipe)], pace, paused, in_turn=in_turn)[0]

    def race(
        self, contestants: Sequence[tuple[str, Recipe]], *, pace: float | None = None, paused: bool = False
    ) -> list[Job]:
        """Start jobs side by side: whoever has done more of its budget than another waits for it.

        Raises SettingsError for recipes that have problems, before any starts.
        """
        return self._start(contestants, pace, paused, race=True)

    def resume(self, number: int, changes: Mapping[str, Any] | None = None, *, paused: bool = False) -> Job:
        """Let a run of the store go on where it was left, to the bit; `changes` are made there (`Job.steer`).

        Raises StoreError when it cannot go on, SettingsError for changes that are none.
        """
        before = next((job for job in self.jobs if job.number == number), None)
        self._open_or_tell()
        if before and not before.active and not before.wait_saved(0 if before.trouble else 10):
            raise StoreError(f"The end of run {number} is not saved yet. {before.trouble}".strip())
        self._store_or_tell().hold(number)
        try:
            job = self._continued(number, dict(changes or {}))
        except BaseException:
            self.store.release(number)
            raise
        self.forget(number)
        self._enqueue([job], paused)
        return job

    def branch(
        self,
        number: int,
        epoch: int,
        name: str,
        recipe: Recipe,
        *,
        pace: float | None = None,
        paused: bool = False,
        in_turn: bool = False,
    ) -> Job:
        """Start a run with this recipe from the weights that a run of the store had after an epoch; the rest as by
        `submit`.

        Raises SettingsError for a recipe that has problems or another network, StoreError when there is no such run or
        no checkpoint of that epoch.
        """
        self._open_or_tell()
        checked_pace(pace)
        parent = self._store_or_tell().open(number)
        checkpoint = self.store.checkpoint(number, epoch)
        if problems := branch_problems(parent.recipe_at(checkpoint.step), epoch, recipe):
            raise SettingsError(problems)
        history = _taken_over(parent, checkpoint.step, recipe)
        branch = Branch(number, epoch, checkpoint.step)
        job = Job(self, checked_name(name), recipe, None, pace, checkpoint, history=history, branch=branch)
        self._enter([job], [checkpoint])  # at once: without it, the branch could not go on
        self._enqueue([job], paused, in_turn)
        return job

    def move(self, job: Job, places: int) -> None:
        """Move a queued job, with those of its race, towards the front (negative) or the back of the queue."""
        with self.wakeup:
            place = next((place for place, jobs in enumerate(self.queue) if job in jobs), None)
            if place is not None:
                jobs = self.queue.pop(place)
                self.queue.insert(max(0, place + places), jobs)

    def forget(self, number: int) -> None:
        """Let go of a run that is over, as when it is deleted; from then on it is what the store has of it."""
        with self.wakeup:
            self.jobs = [job for job in self.jobs if job.active or job.number != number]

    def set_at_once(self, at_once: int | None) -> None:
        """How many runs, or races, may be under way at a time; the others wait in `queue`. None is any number."""
        with self.wakeup:
            self.at_once = at_once
            self._admit()

    def ask(self, job: Job, function: Callable[[Run], Any]) -> Future:
        future: Future = Future()
        with self.wakeup:
            if self._closing:
                future.cancel()  # nobody is left to answer
            else:
                self._questions.append((job, function, future))
                self.wakeup.notify()
        return future

    def close(self) -> None:
        """Stop every job and end the thread."""
        with self.wakeup:
            self._closing = True
            self.wakeup.notify()
        if self._thread:
            self._thread.join()
        for job in self.jobs:
            job._end("interrupted" if self.store else "stopped")
        for _, _, future in self._questions:
            future.cancel()
        if self.saver:
            self.saver.close()

    def _start(self, contestants, pace, paused, race=False, in_turn=False) -> list[Job]:
        self._open_or_tell()
        checked_pace(pace)
        if problems := [problem for _, recipe in contestants for problem in recipe.problems()]:
            raise SettingsError(problems)
        started = [Job(self, checked_name(name), recipe, None, pace) for name, recipe in contestants]
        self._enter(started)
        for job in started:
            job.race = started[0].number if race else None
        self._enqueue(started, paused, in_turn)
        return started

    def _enter(self, new: Sequence[Job], checkpoints: Sequence[Checkpoint] = ()) -> None:
        """Give new jobs their numbers in the store, if there is one: all, or none when it fails."""
        entered = []
        try:
            for job in new if self.store else ():
                job.number = self.store.create(job)
                entered.append(job.number)
                self.store.hold(job.number)
                self.store.save(job, checkpoints)
        except StoreError:
            for number in entered:
                with contextlib.suppress(StoreError):
                    self.store.remove(number)
            raise

    def _continued(self, number: int, changes: dict[str, Any]) -> Job:
        stored = self.store.open(number)
        if stored.deleted:
            raise StoreError(f"Run {number} is deleted; bring it back first.")
        checkpoint, passed = self.store.latest(stored)
        if checkpoint is None and (passed or stored.branch):
            raise StoreError(" ".join([f"Run {number} cannot go on: it has no checkpoint that can be used.", *passed]))
        history = stored.history.until(checkpoint.step if checkpoint else 0)
        pace = next((c.value for c in reversed(history.changes) if c.setting == PACE and c.step <= history.steps), None)
        known = {name: getattr(stored, name) for name in ("number", "branch", "created", "steps_per_epoch", "offset")}
        job = Job(self, stored.name, stored.first_recipe, stored.race, pace, checkpoint, history=history, **known)
        job.notices = passed
        if changes:
            steered(job, changes)
            history.change(changes)
            job.recipe = job.recipe_at(history.steps)
        if problems := job.recipe.problems():  # on another machine than before
            raise SettingsError(problems)
        if stored.status == "finished":
            done, stop = checkpoint.epochs if checkpoint else 0, job.recipe.stop
            if done >= job.recipe.epochs:
                raise StoreError(f"Run {number} has done all its {done} epochs; to go on, give it more of them.")
            if reason := stop.after_epoch(history) or stop.out_of_time(stored.elapsed):  # at its end
                raise StoreError(f"Run {number} has ended: {reason}; to go on, change that rule.")
        self.store.rewind(number, history.steps, tuple(job._place))
        return job

    def _enqueue(self, jobs: list[Job], paused: bool, in_turn: bool = False) -> None:
        with self.wakeup:
            try:
                self._open_or_tell()
            except RuntimeError:
                for job in jobs if self.store else ():
                    self.store.release(job.number)
                raise
            for job in jobs:
                job._queued, job._paused, job._in_turn = True, paused, in_turn
                job._save()
            self.jobs.extend(jobs)
            self.queue.append(jobs)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="conductor", daemon=True)
                self._thread.start()
                atexit.register(self.close)  # a thread inside PyTorch must not outlive the interpreter
            self._admit()

    def _admit(self) -> None:
        """Let those begin whose turn it is."""
        self.queue = [waiting for jobs in self.queue if (waiting := [job for job in jobs if job.active])]
        under_way = {job.group for job in self.jobs if job.active and not job._queued}
        for jobs in self.queue[:]:
            joins = jobs[0].group in under_way  # a race that has its place already
            if not joins and len(under_way) >= (1 if jobs[0]._in_turn else self.at_once or math.inf):
                continue
            self.queue.remove(jobs)
            under_way.add(jobs[0].group)
            for job in jobs:
                job._queued = False
            try:
                threading.Thread(target=self._load, args=(jobs,), name="loading", daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads
                self._arrived.extend((job, error) for job in jobs)
                self.wakeup.notify()

    def _open_or_tell(self) -> None:
        if self._closing:
            raise RuntimeError("This conductor is closed.")

    def _store_or_tell(self) -> Store:
        if not self.store:
            raise StoreError("Runs are not kept here, so none can go on or branch.")
        return self.store

    def _saved(self, job: Job, epochs: int, trouble: str, done: bool) -> None:
        with self.wakeup:
            job.saved_epochs, job.trouble = epochs if not trouble else job.saved_epochs, trouble
            job._watch()
            self.wakeup.notify()
        if done:
            job._kept.set()

    def _let_go(self) -> None:
        """Runs that are over and saved are answered from the store, but for the last one and the last race. Without a
        store their numbers stay, and their networks go after a while.
        """
        under_way = {job.group for job in self.jobs if job.active}
        over = sorted((job for job in self.jobs if job.group not in under_way), key=lambda job: job.ended)
        if self.store:
            at_hand = set({job.race is None: job.group for job in over}.values())
            gone = {job for job in over if job.group not in at_hand and job._kept.is_set()}
            with self.wakeup:
                self.jobs = [job for job in self.jobs if job not in gone]
        else:
            at_hand = list(dict.fromkeys(job.group for job in reversed(over)))[:AT_HAND]
            for job in over:
                if job.group not in at_hand:
                    job._run = job.best = None

    def _load(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                prepare()
                found = load(
                    job.recipe.data, job.recipe.device, lambda share, job=job: vars(job).update(downloaded=share)
                )
            except Exception as error:  # one job's data are no other's concern; the page shows why
                found = error
            with self.wakeup:
                self._arrived.append((job, found))
                self.wakeup.notify()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)  # holds for the calling thread alone
        while not self._closing:
            try:
                self._go_round()
            except Exception as error:  # a fault of this loop: runs fail by it, and the thread goes on
                for job in self.jobs:
                    job._end("failed", failure_of(error))

    def _go_round(self) -> None:
        """Wait until there is something to do, and do some of all there is."""
        with self.wakeup:
            self.wakeup.wait_for(self._has_work, self._idle())
        while self._arrived:
            job, data = self._arrived.popleft()
            if isinstance(data, Exception):
                job._end("failed", failure_of(data))
            elif job.active:  # not stopped while its data were on their way
                self._guarded(job, job._begin, data)
        while self.steered:
            job = self.steered.pop()
            self._guarded(job, job._take_changes)
        while self._questions:
            job, function, future = self._questions.popleft()
            _settle(future, job._answer, function)
        if job := self._next():
            self._guarded(job, job._turn, self._interrupted)
        for job in self.jobs:
            if job._stopping:
                job._end("stopped")
        self._let_go()
        if self.queue:
            with self.wakeup:
                self._admit()

    def _guarded(self, job: Job, function: Callable, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:  # a failure is the job's own; it is kept, shown, and stops no other job
            job._end("failed", failure_of(error))

    def _next(self) -> Job | None:
        """Whose turn it is: the one that has had the least of the thread's time."""
        runnable = self._runnable()
        for job in runnable:  # who comes, or comes back from a pause, makes up for nothing
            job._used = max(job._used, self._served)
        job = min(runnable, key=lambda job: job._used, default=None)
        self._served = job._used if job else self._served
        return job

    def _has_work(self) -> bool:
        stopping = any(job._stopping and job.active for job in self.jobs)
        return bool(self._closing or stopping or self._interrupted() or self._runnable())

    def _interrupted(self) -> bool:
        return bool(self._questions or self._arrived or self.steered)

    def _idle(self) -> float | None:
        """Seconds until a paced job may go on; None when only a change can bring work."""
        now = time.monotonic()
        later = [job._next_step - now for job in self.jobs if job.status == "training" and job._next_step > now]
        return min(later, default=None)

    def _runnable(self) -> list[Job]:
        return [job for job in self.jobs if job._may_go_on() and not (job.race and self._ahead(job))]

    def _ahead(self, job: Job) -> bool:
        racing = (other for other in self.jobs if other.race == job.race and other.active)
        others = (other for other in racing if not (other._paused or other._queued))
        return job.progress > min((other.progress for other in others), default=1.0)


def _settle(future: Future, function: Callable, *arguments: Any) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # it is the asker's, and must not end the thread that trains
            future.set_exception(error)
