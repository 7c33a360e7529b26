"""What a view looks at: a run as it is now, or as it was after one of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcore.engine.job import Job
from dlcore.runs.film import Film
from dlcore.runs.records import Record
from pages.parts.asking import BUSY, READING, Heard, Question, hear
from pages.parts.state.looking import ask_stored, film_of, job_of

if TYPE_CHECKING:
    from dlcore.engine.training import Run


class Subject(NamedTuple):
    """A run, and the moment of it that is looked at."""

    run: Record
    epoch: int | None = None  # whose frame is looked at; None for the run as it is now, or as it was left

    @property
    def film(self) -> Film:
        """The frames that are kept of it, first to last; those on disk are read when they are asked for."""
        return film_of(self.run)

    @property
    def moment(self) -> Hashable:
        """What an answer hangs on, whatever is asked."""
        return (self.run.number, self.run.history.steps if self.epoch is None else ("epoch", self.epoch))

    def hear(self, place: str, function: Callable[[Run], Any], about: Hashable = (), gradients: bool = False) -> Heard:
        """What `function` makes of the network; `about` says what else the answer hangs on, such as a choice on the
        page. Waits for a moment at most: see `asking`.
        """
        job: Job | None = job_of(self.run)
        if self.epoch is None and job and (job.active or job.ready):
            put, waiting = (lambda: job.ask(function, gradients=gradients)), BUSY
        else:
            put, waiting = (lambda: ask_stored(self.run, self.epoch, function, gradients)), READING
        question = Question((self.moment, about), put, waiting)
        return hear(place, {self.run.number: question})[self.run.number]
