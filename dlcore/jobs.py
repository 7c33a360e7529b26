"""Jobs: one thread trains, and everyone else asks.

A `Conductor` takes turns among its jobs' generators, some milliseconds each. Its thread alone touches networks; whoever
wants something of one hands over a function (`Job.ask`), which runs between two steps. Every job's random state is kept
and swapped in for its turns, so that a run's numbers are the same alone or beside others. Jobs live as long as the
process, finished or not.
"""

import atexit
import itertools
import math
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from dlcore.datasets import DataError, Dataset, load
from dlcore.history import Epoch, History
from dlcore.randomness import RandomState
from dlcore.recipe import Recipe
from dlcore.settings import SettingsError
from dlcore.training import EpochEnd, Run, Step, build, train

Status = Literal["preparing", "training", "paused", "finished", "stopped", "failed"]
TURN = 0.02  # seconds that a job trains before the next one has its turn
CHECK = 0.2  # seconds between two looks for a loss that is not a number

_numbers = itertools.count(1)
_races = itertools.count(1)


@dataclass(frozen=True)
class Failure:
    """Why a job failed: a sentence for people, and the traceback behind it (none when the sentence says it all)."""

    text: str
    traceback: str = ""


class Job:
    """A recipe on its way. What is public may be used from any thread, and never waits for training."""

    def __init__(self, conductor: "Conductor", name: str, recipe: Recipe, race: int | None, pace: float | None):
        self.number = next(_numbers)  # of this process; gives a job its colour on every page
        self.name, self.recipe, self.race = name, recipe, race
        self.history = History()
        self.targets: np.ndarray | None = None  # of the validation split
        self.predicted: np.ndarray | None = None  # for the validation split, after the last whole epoch
        self.failure: Failure | None = None
        self.downloaded = 0.0  # share of the data, while they are fetched
        self.steps_per_epoch = 0  # 0 until the data are there
        self.pace = pace  # steps a second, None for full speed

        self._conductor = conductor
        self._outcome: Literal["finished", "stopped", "failed"] | None = None
        self._over = threading.Event()
        self._paused = self._stopping = False
        self._steps_due = 0  # asked for one by one
        self._evaluating = False  # what follows a single step that ended an epoch
        self._next_step = 0.0  # when a paced job may go on
        self._elapsed, self._since = 0.0, None  # a stopwatch that stands while paused
        self._run: Run | None = None
        self._events: Iterator | None = None
        self._random: RandomState | None = None
        self._stepping = self._working = 0.0  # seconds spent in training steps, and in all
        self._last_epoch = (0, 0.0)  # steps and seconds of stepping at its end
        self._checked = 0.0

    @property
    def status(self) -> Status:
        if self._outcome:
            return self._outcome
        if self._paused:
            return "paused"
        return "training" if self._run else "preparing"

    @property
    def active(self) -> bool:
        return self._outcome is None

    @property
    def ready(self) -> bool:
        """Whether there is a network to ask."""
        return self._run is not None

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def progress(self) -> float:
        """Share of the steps that are done."""
        return self.history.steps / self.total_steps if self.total_steps else 0.0

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return math.ceil(self.history.steps / self.steps_per_epoch) if self.steps_per_epoch else 0

    @property
    def elapsed(self) -> float:
        """Seconds on the clock, pauses left out."""
        since = self._since
        return self._elapsed + (time.monotonic() - since if since else 0.0)

    @property
    def remaining(self) -> float | None:
        """Seconds to go at the speed so far; None before there is one."""
        return self.elapsed * (1 / self.progress - 1) if self.progress and self.active else None

    @property
    def steps_per_second(self) -> float:
        """Training steps over the time spent training them; evaluation, pauses and other jobs left out."""
        return self.history.steps / self._stepping if self._stepping else 0.0

    def pause(self) -> None:
        self._change(_paused=True)

    def resume(self) -> None:
        self._change(_paused=False, _steps_due=0)

    def step(self) -> None:
        """Take one training step and be paused; a step that ends an epoch evaluates it too."""
        self._change(_paused=True, _steps_due=self._steps_due + 1)

    def stop(self) -> None:
        """End after the step in hand; what was learned is kept."""
        self._change(_stopping=True)

    def set_pace(self, pace: float | None) -> None:
        """Steps a second at most, or None for full speed."""
        self._change(pace=pace, _next_step=0.0)

    def ask(self, function: Callable[[Run], Any]) -> Future:
        """Have `function(run)` called between two steps, in eval and inference mode and without touching the run's
        random state; the same while training, paused or over. Raises RuntimeError when there is no network yet.
        """
        if not self.ready:
            raise RuntimeError(f"{self.name} has no network yet.")
        return self._conductor.ask(self, function)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over; False when it is not within `timeout` seconds."""
        return self._over.wait(timeout)

    def _change(self, **state: Any) -> None:
        with self._conductor.wakeup:
            if self.active:
                vars(self).update(state)
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
        if self._stopping or not self.active or not self._run:
            return False
        return (self._steps_due > 0 or self._evaluating) if self._paused else self._next_step <= time.monotonic()

    def _begin(self, data: Dataset) -> None:
        self.steps_per_epoch = self.recipe.steps_per_epoch(len(data.train))
        self.targets = data.validation.targets.cpu().numpy()
        run = build(self.recipe, data)
        self._random, self._events, self._run = RandomState(self.recipe.device), train(run), run
        self._watch()

    def _answer(self, function: Callable[[Run], Any]) -> Any:
        before = RandomState(self.recipe.device)
        self._run.model.eval()
        try:
            with torch.inference_mode():
                return function(self._run)
        finally:
            before.restore()

    def _turn(self, interrupted: Callable[[], bool]) -> None:
        """Train for some milliseconds, with this run's own random state."""
        end = time.monotonic() + TURN
        self._random.restore()
        try:
            while self._may_go_on():
                self._advance()
                if interrupted() or time.monotonic() >= end:
                    break
        except StopIteration:
            self._look()
            self._end("finished")
        finally:
            self._random.save()
        if time.monotonic() - self._checked > CHECK:
            self._look()

    def _advance(self) -> None:
        """From one yield of the loop to the next."""
        start, standing = time.perf_counter(), self._since is None
        event = next(self._events)
        last = isinstance(event, Step) and (self.history.steps + 1) % self.steps_per_epoch == 0
        if last and self.recipe.device == "cuda":
            torch.cuda.synchronize()  # or the epoch's training would be billed to its evaluation
        spent = time.perf_counter() - start
        self._working += spent
        if standing:  # a single step while paused
            self._elapsed += spent
        if isinstance(event, Step):
            self._stepping += spent
            self.history.add_step(event.loss)
            if self._steps_due:
                self._steps_due -= 1
                self._evaluating = last
            if self.pace:
                self._next_step = max(self._next_step + 1 / self.pace, time.monotonic())
        elif isinstance(event, EpochEnd):
            self._record(event)
            self._evaluating = self._evaluating and event.epoch == self.recipe.epochs  # the last goes on to the end

    def _record(self, end: EpochEnd) -> None:
        steps, stepping = self._last_epoch
        self._last_epoch = (self.history.steps, self._stepping)
        row = Epoch(
            epoch=end.epoch,
            step=self.history.steps,
            train_loss=end.train.loss,
            train_accuracy=end.train.accuracy,
            val_loss=end.validation.loss,
            val_accuracy=end.validation.accuracy,
            lr=end.lr,
            seconds=self._working,
            steps_per_second=(self.history.steps - steps) / (self._stepping - stepping),
        )
        self.predicted = end.validation.predicted
        self.history.add_epoch(row)
        if not math.isfinite(row.train_loss + row.val_loss):
            self._look()
            raise DivergenceError(self.history.steps, row.lr)

    def _look(self) -> None:
        """Raise DivergenceError when a loss is not a number; reads the losses that wait."""
        self._checked = time.monotonic()
        self.history.settle()
        if self.history.first_bad_step is not None:
            raise DivergenceError(self.history.first_bad_step, self._run.optimizer.param_groups[0]["lr"])

    def _end(self, outcome: Literal["finished", "stopped", "failed"], failure: Failure | None = None) -> None:
        if not self.active:
            return
        if self._events:
            self._events.close()
        self.history.settle()
        self.failure, self._outcome, self._events = failure, outcome, None
        self._watch()
        self._over.set()


class DivergenceError(ArithmeticError):
    """The loss became infinite or not a number."""

    def __init__(self, step: int, lr: float):
        super().__init__(
            f"The loss stopped being a finite number at step {step}. Try a smaller learning rate "
            f"({lr / 10:.2g} instead of {lr:.2g}), a warm-up or one-cycle schedule, or another loss."
        )


class Conductor:
    """Trains jobs on a thread of its own, which starts with the first one.

    One conductor a process, whatever the devices: PyTorch's default generators belong to the process, and only one
    thread can swap them.
    """

    def __init__(self, threads: int | None = None):
        """`threads`: how many cores a step's arithmetic may use; half of them by default.

        The other half is for the server and the browser: threads that share a step wait for the slowest of them, and
        beside a busy neighbour each step then takes many times as long.
        """
        self.jobs: list[Job] = []
        self.wakeup = threading.Condition()
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._arrived: deque[tuple[Job, Dataset]] = deque()
        self._questions: deque[tuple[Job, Callable, Future]] = deque()
        self._thread: threading.Thread | None = None
        self._closing = False

    def submit(self, name: str, recipe: Recipe, *, pace: float | None = None, paused: bool = False) -> Job:
        """Start a job. Raises SettingsError for a recipe that has problems."""
        return self._start([(name, recipe)], None, pace, paused)[0]

    def race(
        self, contestants: Sequence[tuple[str, Recipe]], *, pace: float | None = None, paused: bool = False
    ) -> list[Job]:
        """Start jobs side by side: whoever has done more of its budget than another waits for it.

        Raises SettingsError for recipes that have problems, before any starts.
        """
        return self._start(contestants, next(_races), pace, paused)

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
            job._end("stopped")
        for _, _, future in self._questions:
            future.cancel()

    def _start(self, contestants, race, pace, paused) -> list[Job]:
        if problems := [problem for _, recipe in contestants for problem in recipe.problems()]:
            raise SettingsError(problems)
        if self._closing:
            raise RuntimeError("This conductor is closed.")
        started = [Job(self, name, recipe, race, pace) for name, recipe in contestants]
        for job in started:
            job._paused = paused
        with self.wakeup:
            self.jobs.extend(started)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="conductor", daemon=True)
                self._thread.start()
                atexit.register(self.close)  # a thread inside PyTorch must not outlive the interpreter
        threading.Thread(target=self._load, args=(started,), name="loading", daemon=True).start()
        return started

    def _load(self, jobs: Sequence[Job]) -> None:
        import sklearn.metrics  # noqa: F401 - slow; on the training thread it would stall the first evaluation

        for job in jobs:
            try:
                data = load(
                    job.recipe.data, job.recipe.device, lambda share, job=job: vars(job).update(downloaded=share)
                )
            except Exception as error:  # one job's data are no other's concern; the page shows why
                self._fail(job, error)
                continue
            with self.wakeup:
                self._arrived.append((job, data))
                self.wakeup.notify()

    def _work(self) -> None:
        torch.set_num_threads(self._threads)  # holds for the calling thread alone
        while not self._closing:
            with self.wakeup:
                self.wakeup.wait_for(self._has_work, self._idle())
            while self._arrived:
                job, data = self._arrived.popleft()
                if job.active:  # not stopped while its data were on their way
                    self._guarded(job, job._begin, data)
            while self._questions:
                job, function, future = self._questions.popleft()
                _settle(future, job._answer, function)
            for job in self._runnable():
                self._guarded(job, job._turn, self._interrupted)
            for job in self.jobs:
                if job._stopping:
                    job._end("stopped")

    def _guarded(self, job: Job, function: Callable, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:  # a failure is the job's own; it is kept, shown, and stops no other job
            self._fail(job, error)

    def _fail(self, job: Job, error: Exception) -> None:
        told = isinstance(error, DataError | DivergenceError)  # sentences of our own
        text = str(error) if told else f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
        with self.wakeup:
            job._end("failed", Failure(text, "" if told else "".join(traceback.format_exception(error))))
            self.wakeup.notify()

    def _has_work(self) -> bool:
        stopping = any(job._stopping and job.active for job in self.jobs)
        return bool(self._closing or stopping or self._interrupted() or self._runnable())

    def _interrupted(self) -> bool:
        return bool(self._questions or self._arrived)

    def _idle(self) -> float | None:
        """Seconds until a paced job may go on; None when only a change can bring work."""
        now = time.monotonic()
        later = [job._next_step - now for job in self.jobs if job.status == "training" and job._next_step > now]
        return min(later, default=None)

    def _runnable(self) -> list[Job]:
        return [job for job in self.jobs if job._may_go_on() and not (job.race and self._ahead(job))]

    def _ahead(self, job: Job) -> bool:
        others = (other for other in self.jobs if other.race == job.race and other.active and not other._paused)
        return job.progress > min((other.progress for other in others), default=1.0)


def _settle(future: Future, function: Callable, *arguments: Any) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
