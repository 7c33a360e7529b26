"""The conductor: one thread trains, and everyone else asks.

It takes turns among the runs that are under way, some milliseconds each. Its thread alone touches networks; what others
want goes into its inbox, and is done between two steps. Jobs live as long as the process, finished or not.
"""

import atexit
import contextlib
import itertools
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from dlcore.catalogue.splits import Dataset
from dlcore.engine.continuing import branched, resumed
from dlcore.engine.driver import Driver
from dlcore.engine.job import Job, State, Wishes
from dlcore.engine.listening import Listener
from dlcore.engine.loading import load_each
from dlcore.engine.queue import admit, moved
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import Run
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.film import MOST, Film
from dlcore.runs.records import checked_name, checked_pace
from dlcore.runs.resuming import threads_again
from dlcore.runs.saving import Saver
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError

AT_HAND = 20  # runs or races that keep their networks when over, where no store has them

_numbers = itertools.count(1)


class Conductor:
    """Trains jobs on a thread of its own, which starts with the first one and ends with `close` alone.

    One conductor a process, whatever the devices: PyTorch's default generators belong to the process, and only one
    thread can swap them.
    """

    def __init__(
        self,
        threads: int | None = None,
        store: Store | None = None,
        at_once: int | None = None,
        frames: int = MOST,
    ):
        """`threads`: how many cores a step of a new run may use; half of them by default. `store`: where runs are kept;
        without one, they are gone with the process. `at_once`: see `set_at_once`. `frames`: how many the film of a run
        has at most, if it begins or goes on from now on; 0 for none.

        The other half is for the server and the browser: threads that share a step wait for the slowest of them, and
        beside a busy neighbour each step then takes many times as long.
        """
        self.queue: list[list[Job]] = []  # runs and races that wait their turn, the next one first
        self.at_once = at_once
        self.store = store
        self.saver = Saver(store, self._saved) if store else None
        self.threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self.frames = frames
        self.jobs: list[Job] = []  # that are at hand, oldest first; replaced, not changed: others may be reading it
        self._inbox: deque[Callable[[], object]] = deque()
        self._wakeup = threading.Condition()  # holds for the queue, the jobs and the inbox
        self._resting = True  # nothing to do, as far as the thread knows
        self._served = 0.0  # seconds that the job has used which had the last turn
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None  # to what other processes ask
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
            new = self._continued(number, changes or {}, paused)
        except BaseException:
            self.store.release(number)
            raise
        self.forget(number)
        self._enqueue([new])
        return new

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
        branch, trainer, checkpoint = branched(self._store_or_tell(), number, epoch, recipe, pace, self.frames)
        new = self._job(trainer, checked_name(name), paused, branch=branch, in_turn=in_turn)
        self._enter([new], [checkpoint])  # at once: without it, the branch could not go on
        self._enqueue([new])
        return new

    def move(self, job: Job, places: int) -> None:
        """Move a queued job, with those of its race, towards the front (negative) or the back of the queue."""
        with self._wakeup:
            self.queue = moved(self.queue, job, places)

    def queued(self, job: Job) -> bool:
        return any(job in waiting for waiting in self.queue)

    def forget(self, number: int) -> None:
        """Let go of a run that is over, as when it is deleted; from then on it is what the store has of it."""
        self._drop(job for job in self.jobs if job.number == number and not job.active)

    def set_at_once(self, at_once: int | None) -> None:
        """How many runs, or races, may be under way at a time; the others wait in `queue`. None is any number."""
        with self._wakeup:
            self.at_once = at_once
            self._admit()

    def ask(self, job: Job, function: Callable[[Run], Any], gradients: bool = False) -> Future:
        """See `Job.ask`."""
        future: Future = Future()

        def answer() -> None:
            if self._closing:
                future.cancel()  # nobody is left to answer
            elif future.set_running_or_notify_cancel():
                try:
                    future.set_result(job.driver.answer(function, gradients))
                except BaseException as error:  # it is the asker's, and must not end the thread that trains
                    future.set_exception(error)

        self._put(answer)
        if self._closing:
            self._do_what_waits()
        return future

    def idle(self, timeout: float | None = None) -> bool:
        """Wait until nothing trains or prepares, nothing is asked for, and everything is saved; False when that takes
        longer than `timeout` seconds.
        """

        def resting() -> bool:
            busy = any(job.status in ("preparing", "training") for job in self.jobs)
            return self._resting and not self._inbox and not busy and not (self.saver and self.saver.busy)

        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._wakeup:
            while not (idle := resting()) and time.monotonic() < end:
                self._wakeup.wait(0.02)  # not everything that counts here tells when it is done
            return idle

    def hear(self, job: Job) -> None:
        """Something came into the job's inbox."""
        self._send(job, Driver.hear)

    def close(self) -> None:
        """Stop every job and end the thread."""
        with self._wakeup:
            self._closing = True
            self._wakeup.notify_all()
        if self._listener:
            self._listener.close()
        if self._thread:
            self._thread.join()
        for job in self.jobs:
            job.driver.end("interrupted" if self.store else "stopped")
        if self.saver:
            self.saver.close()
        self._do_what_waits()

    def _job(self, trainer: Trainer, name: str, paused: bool = False, number: int = 0, **known: Any) -> Job:
        """A new job; `known`: what else a job knows from its beginning."""
        state = State(trainer.recipe, Wishes(paused=paused), notices=known.pop("notices", ()))
        known = {"threads": self.threads} | known
        job = Job(self, number or next(_numbers), name, trainer.first_recipe, trainer.history, state, **known)
        job.driver = Driver(job, trainer, self.saver)
        job.driver.tell()
        return job

    def _start(self, contestants, pace, paused, race=False, in_turn=False) -> list[Job]:
        self._open_or_tell()
        checked_pace(pace)
        if problems := [problem for _, recipe in contestants for problem in recipe.problems()]:
            raise SettingsError(problems)
        started = []
        for name, recipe in contestants:
            trainer = Trainer(recipe, pace=pace, film=Film(self.frames))
            started.append(self._job(trainer, checked_name(name), paused, in_turn=in_turn))
        self._enter(started)
        for job in started:
            job.race = started[0].number if race else None
        self._enqueue(started)
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

    def _continued(self, number: int, changes: Mapping[str, Any], paused: bool) -> Job:
        run, trainer, passed = resumed(self.store, number, changes, self.frames)
        threads, notes = threads_again(run.threads, self.threads)
        known = {"branch": run.branch, "created": run.created, "race": run.race, "threads": threads}
        return self._job(trainer, run.name, paused, number, resumed=True, notices=(*passed, *notes), **known)

    def _enqueue(self, jobs: list[Job]) -> None:
        with self._wakeup:
            try:
                self._open_or_tell()
            except RuntimeError:
                for job in jobs if self.store else ():
                    self.store.release(job.number)
                raise
            for job in jobs if self.saver else ():
                self.saver.save(job)
            self.jobs = [*self.jobs, *jobs]
            self.queue = [*self.queue, jobs]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="conductor", daemon=True)
                self._thread.start()
                self._listener = Listener(self.store, lambda: self.jobs) if self.store else None
                atexit.register(self.close)  # a thread inside PyTorch must not outlive the interpreter
            self._admit()

    def _admit(self) -> None:
        """Let those begin whose turn it is."""
        queue = [waiting for jobs in self.queue if (waiting := [job for job in jobs if job.active])]
        waits = {job for jobs in queue for job in jobs}
        under_way = {job.group for job in self.jobs if job.active and job not in waits}
        begin, self.queue = admit(queue, under_way, self.at_once)
        for jobs in begin:
            tell = self._arrived, lambda job, share: self._send(job, Driver.downloading, share)
            try:
                threading.Thread(target=load_each, args=(jobs, *tell), name="loading", daemon=True).start()
            except RuntimeError as error:  # the system gives no more threads
                for job in jobs:
                    self._arrived(job, error)

    def _arrived(self, job: Job, data: Dataset | Exception) -> None:
        self._send(job, Driver.fail if isinstance(data, Exception) else Driver.begin, data)

    def _saved(self, job: Job, epochs: int, trouble: str, done: bool) -> None:
        self._send(job, Driver.saved, epochs, trouble, done)

    def _send(self, job: Job, function: Callable, *arguments: Any) -> None:
        self._put(lambda: self._with(job, function, *arguments))

    def _put(self, action: Callable[[], object]) -> None:
        """Have something done by the thread, between two steps."""
        with self._wakeup:
            self._inbox.append(action)
            self._wakeup.notify_all()

    def _do_what_waits(self) -> None:
        while self._inbox:
            self._inbox.popleft()()

    def _with(self, job: Job, function: Callable, *arguments: Any) -> None:
        """Have a job's driver do something; a failure is the job's own, and stops no other."""
        try:
            function(job.driver, *arguments)
        except Exception as error:
            job.driver.fail(error)

    def _open_or_tell(self) -> None:
        if self._closing:
            raise RuntimeError("This conductor is closed.")

    def _store_or_tell(self) -> Store:
        if not self.store:
            raise StoreError("Runs are not kept here, so none can go on or branch.")
        return self.store

    def _let_go(self) -> None:
        """Runs that are over and saved are answered from the store, but for the last one and the last race. Without a
        store their numbers stay, and their networks go after a while.
        """
        under_way = {job.group for job in self.jobs if job.active}
        over = sorted((job for job in self.jobs if job.group not in under_way), key=lambda job: job.ended)
        if self.store:
            at_hand = set({job.race is None: job.group for job in over}.values())
            self._drop(job for job in over if job.group not in at_hand and job.wait_saved(0))
        else:
            at_hand = list(dict.fromkeys(job.group for job in reversed(over)))[:AT_HAND]
            for job in over:
                if job.group not in at_hand and job.ready:
                    job.driver.let_go()

    def _drop(self, jobs: Iterable[Job]) -> None:
        with self._wakeup:
            if gone := set(jobs):
                self.jobs = [job for job in self.jobs if job not in gone]

    def _work(self) -> None:
        while not self._closing:
            try:
                self._go_round()
            except Exception as error:  # a fault of this loop: runs fail by it, and the thread goes on
                for job in self.jobs:
                    job.driver.fail(error)

    def _go_round(self) -> None:
        """Wait until there is something to do, and do some of all there is."""
        with self._wakeup:
            has_work = lambda: bool(self._closing or self._inbox or self._runnable())  # noqa: E731
            self._resting = not has_work()
            self._wakeup.wait_for(has_work, self._pause())
            self._resting = False
        self._do_what_waits()
        if job := self._next():
            self._with(job, Driver.turn, lambda: bool(self._inbox))
        for job in self.jobs:
            if job.driver.stopping:
                job.driver.end("stopped")
        self._let_go()
        if self.queue:
            with self._wakeup:
                self._admit()

    def _next(self) -> Job | None:
        """Whose turn it is: the one that has had the least of the thread's time."""
        runnable = self._runnable()
        for job in runnable:  # who comes, or comes back from a pause, makes up for nothing
            job.driver.used = max(job.driver.used, self._served)
        job = min(runnable, key=lambda job: job.driver.used, default=None)
        self._served = job.driver.used if job else self._served
        return job

    def _pause(self) -> float | None:
        """Seconds until a paced job may go on; None when only a change can bring work."""
        return min((wait for job in self.jobs if (wait := job.driver.waits()) is not None), default=None)

    def _runnable(self) -> list[Job]:
        return [job for job in self.jobs if job.driver.may_go_on() and not (job.race and self._ahead(job))]

    def _ahead(self, job: Job) -> bool:
        racing = (other for other in self.jobs if other.race == job.race and other.active)
        others = (other for other in racing if not (other.state.wishes.paused or self.queued(other)))
        return job.progress > min((other.progress for other in others), default=1.0)
