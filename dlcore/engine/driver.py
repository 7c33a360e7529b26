"""A driver: what the conductor's thread keeps of one job. It hears what is asked, gives the trainer its turns, hands
checkpoints to be saved, and tells the job's state. That thread alone may use it.
"""

import itertools
import time
import traceback
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from dlcore.catalogue.datasets import DataError
from dlcore.catalogue.splits import Dataset
from dlcore.engine.job import Job, Outcome, State
from dlcore.engine.trainer import DivergenceError, Trainer
from dlcore.engine.training import EpochEnd, Run, Step
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.film import Film
from dlcore.runs.records import PACE, Failure
from dlcore.runs.saving import Saver
from dlcore.runs.store import StoreError

TURN = 0.02  # seconds that a job trains before the next one has its turn
LATELY = 15  # looks at the losses over which the speed is measured

_ends = itertools.count(1)


class Driver:
    """Drives the trainer of one job."""

    def __init__(self, job: Job, trainer: Trainer, saver: Saver | None):
        self._job = weakref.ref(job)  # who has it keeps what drives it, and what it was asked for goes with it
        self.trainer = trainer
        self.used = 0.0  # seconds of the thread that count when turns are given
        self._saver = saver
        self._wishes = job.state.wishes
        self._evaluating = False  # what follows a single step that ended an epoch
        self._next_step = 0.0  # when a paced run may go on
        self._lately = deque([(trainer.history.steps, trainer.clock.read())], LATELY)
        self._outcome: Outcome | None = None
        self._ended, self._failure = 0, None
        self._downloaded, self._saved_epochs, self._trouble = 0.0, 0, ""
        self._notices = list(job.state.notices)

    @property
    def job(self) -> Job:
        return self._job()

    @property
    def stopping(self) -> bool:
        return self._wishes.stopping and not self._outcome

    def may_go_on(self) -> bool:
        if self._wishes.stopping or self._outcome or not self.trainer.run or self._trouble:
            return False
        if self._wishes.paused:
            return self._wishes.steps > 0 or self._evaluating
        return self._next_step <= time.monotonic()

    def waits(self) -> float | None:
        """Seconds until a paced run may go on; None when it waits for something else."""
        wait = self._next_step - time.monotonic()
        return wait if wait > 0 and self.job.status == "training" else None

    def hear(self) -> None:
        """Take what was asked."""
        if self._outcome:
            self.job.inbox.clear()
            return
        for _ in range(len(self.job.inbox)):
            command = self.job.inbox[0]
            wishes = self._wishes.after(command)
            if PACE in wishes.changes:
                self._next_step = 0.0
            if wishes.changes:
                self._notices += self.trainer.steer(wishes.changes)
            self._wishes = wishes._replace(changes={})
            self.tell()
            self.job.inbox.popleft()  # now that the state has it
            if wishes.changes:
                self.save()

    def begin(self, data: Dataset) -> None:
        if self._outcome:  # stopped while its data were on their way
            return
        self._use_cores()
        try:
            self.trainer.begin(data)
        except CheckpointError as error:
            raise StoreError(f"Run {self.job.number} cannot go on from its checkpoint: {error}.") from error
        self.tell()
        if self.trainer.over:
            self.end("finished")

    def turn(self, interrupted: Callable[[], bool]) -> None:
        """Train for some milliseconds, with the run's own random state."""
        start, trainer = time.monotonic(), self.trainer
        self._use_cores()
        try:
            with trainer.own_random():
                while self.may_go_on() and not trainer.over:
                    self.advance()
                    if interrupted() or time.monotonic() >= start + TURN:
                        break
        finally:
            self.used += time.monotonic() - start
        if trainer.to_be_looked_at or (trainer.over and not trainer.reason):
            trainer.look()
            self._lately.append((trainer.history.steps, trainer.clock.read()))
        if not trainer.over:
            trainer.mind_the_time()
        if trainer.over:
            self.end("finished")
        else:
            self.tell()

    def _use_cores(self) -> None:
        """Before any of the run's arithmetic: its last bits hang on how many cores share it."""
        if torch.get_num_threads() != self.job.threads:
            torch.set_num_threads(self.job.threads)  # holds for the calling thread alone

    def advance(self) -> None:
        event = self.trainer.advance()
        match event:
            case Step():
                if self._wishes.steps:
                    self._wishes = self._wishes._replace(steps=self._wishes.steps - 1)
                    self._evaluating = self.trainer.place.steps == self.trainer.steps_per_epoch
                if pace := self.trainer.pace:
                    now = time.monotonic()
                    self._next_step = max((self._next_step or now) + 1 / pace, now)
            case EpochEnd():
                self._evaluating = self._evaluating and event.epoch == self.trainer.recipe.epochs  # goes on to the end
                self.tell()
                self.save(self._worth_saving(event.epoch))

    def _worth_saving(self, epoch: int) -> Checkpoint | None:
        """The checkpoint of an epoch's end: that of the best, or another one once in a while."""
        if self.trainer.history.best.epoch == epoch:
            return self.trainer.best
        return self.trainer.capture() if self._saver and self._saver.wants(self.job, epoch) else None

    def answer(self, function: Callable[[Run], Any], gradients: bool) -> Any:
        if not self.trainer.run:
            raise RuntimeError(f"{self.job.name} has no network any more.")
        self._use_cores()
        return self.trainer.answer(function, gradients)

    def downloading(self, share: float) -> None:
        self._downloaded = share
        self.tell()

    def saved(self, epochs: int, trouble: str, done: bool) -> None:
        """What came of saving it. A run whose losses cannot be read fails here: it would wait for a disk for ever."""
        if trouble:
            self.trainer.history.settle()
        self._saved_epochs, self._trouble = epochs if not trouble else self._saved_epochs, trouble
        self.tell()
        if done:
            self.job.saved.set()

    def fail(self, error: Exception) -> None:
        """A failure is the run's own; it is kept, shown, and stops no other one."""
        self.end("failed", failure_of(error))

    def end(self, outcome: Outcome, failure: Failure | None = None) -> None:
        """Whatever happens here, the run is over after it: what cannot be ended as it should has failed."""
        if self._outcome:
            return
        trainer, last = self.trainer, None
        try:
            trainer.close()
            trainer.history.settle()
            # What a failed run held last is of no use; where another one stands is.
            if trainer.run and trainer.place != trainer.captured and outcome != "failed" and self._saver:
                last = trainer.capture()
        except Exception as error:  # such as memory that is too small for a copy
            trainer.history.give_up()
            outcome, failure = "failed", failure or failure_of(error)
        self._outcome, self._failure, self._ended = outcome, failure, next(_ends)
        self.tell()
        self.job.inbox.clear()
        try:
            self.save(last, last=True)
        except Exception as error:  # nobody is left to tell but the page
            self._trouble = f"Its end cannot be saved: {failure_of(error).text}"
            self.tell()
        self.job.over.set()

    def let_go(self) -> None:
        """Forget the network of a run that is over."""
        self.trainer.run = self.trainer.best = None
        self.trainer.film = Film()
        self.tell()

    def tell(self) -> None:
        """Give the job its state of now."""
        trainer, wishes = self.trainer, self._wishes
        running = not (self._outcome or wishes.paused or self._trouble) and trainer.run is not None
        trainer.clock = trainer.clock.running(running)
        self.job.state = State(
            recipe=trainer.recipe,
            wishes=wishes,
            ready=trainer.run is not None,
            outcome=self._outcome,
            ended=self._ended,
            reason=trainer.reason if self._outcome == "finished" else "",
            failure=self._failure,
            clock=trainer.clock,
            lately=self._lately[0],
            stepping=trainer.stepping,
            working=trainer.working,
            pace=trainer.pace,
            steps_per_epoch=trainer.steps_per_epoch,
            offset=trainer.offset,
            targets=trainer.targets,
            predicted=trainer.predicted,
            best=trainer.best,
            film=trainer.film,
            downloaded=self._downloaded,
            saved_epochs=self._saved_epochs,
            trouble=self._trouble,
            notices=tuple(self._notices),
        )

    def save(self, checkpoint: Checkpoint | None = None, last: bool = False) -> None:
        if self._saver:
            self._saver.save(self.job, checkpoint, last)


def failure_of(error: Exception) -> Failure:
    if isinstance(error, DataError | DivergenceError | StoreError):  # sentences of our own
        return Failure(str(error))
    text = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"
    return Failure(text, "".join(traceback.format_exception(error)))
