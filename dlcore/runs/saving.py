"""Saving: a thread that brings the store up to date, so that training never waits for a disk.

What a run measures is saved every second and within a moment of an epoch's end, with the latter its checkpoint; of
epochs shorter than that moment, some have none, and would be repeated. A disk that fails or is full loses nothing: what
could not be saved stays in memory, and is tried again until it works.
"""

import threading
import time
from collections.abc import Callable

from dlcore.runs.checkpoints import Checkpoint, distance, worth_keeping
from dlcore.runs.records import Record
from dlcore.runs.store import Store, StoreError

GAP = 0.5  # seconds between two savings: epochs shorter than that are saved together
EVERY = 1.0  # seconds between two savings of a run within an epoch, and between two tries


class Saver:
    """Saves the runs that were handed to it, until they are over and saved."""

    def __init__(self, store: Store, report: Callable[[Record, int, str, bool], None]):
        """`report(run, epochs, trouble, done)` is told after every try: how many epochs are saved, what went wrong, and
        whether the run is over and saved for good.
        """
        self._store, self._report = store, report
        self._followed: dict[Record, list[Checkpoint]] = {}  # with what is still to be saved
        self._latest: dict[Record, tuple[float, int]] = {}  # time and size of the last checkpoint
        self._due: set[Record] = set()
        self._ended: set[Record] = set()
        self._wakeup = threading.Condition()
        self._trying = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="saving", daemon=True)
        self._thread.start()

    def wants(self, run: Record, epoch: int) -> bool:
        """Whether the end of this epoch is worth a checkpoint, even if it is not the best; each costs some time."""
        when, size = self._latest.get(run, (0.0, 0))
        return time.monotonic() - when >= GAP or epoch % distance(epoch, size) == 0

    def save(self, run: Record, checkpoint: Checkpoint | None = None, last: bool = False) -> None:
        """Save a run soon, and follow it until its `last` state is saved."""
        with self._wakeup:
            if last:
                self._ended.add(run)
            waiting = self._followed.setdefault(run, [])
            if checkpoint:
                self._latest[run] = (time.monotonic(), checkpoint.size)
                waiting.append(checkpoint)
                best = run.history.best.epoch if run.history.best else 0
                wanted = worth_keeping({one.epochs for one in waiting}, best, checkpoint.size)
                self._followed[run] = [one for one in waiting if one is checkpoint or one.epochs in wanted]
            self._due.add(run)
            self._wakeup.notify()

    @property
    def busy(self) -> bool:
        """Whether something is still to be saved."""
        with self._wakeup:
            return bool(self._due or self._trying or self._ended or any(self._followed.values()))

    def close(self) -> None:
        """Save what is due, trying once, and end."""
        with self._wakeup:
            self._closing = True
            self._wakeup.notify()
        self._thread.join()

    def _work(self) -> None:
        all_due = time.monotonic() + EVERY
        while not self._closing:
            with self._wakeup:
                self._wakeup.wait_for(lambda: self._due or self._closing, max(0.0, all_due - time.monotonic()))
                due, self._due = self._due, set()
                if time.monotonic() >= all_due or self._closing:
                    due, all_due = set(self._followed), time.monotonic() + EVERY
                self._trying = bool(due)
            for run in sorted(due, key=lambda run: run.number):
                self._try(run)
            with self._wakeup:
                self._trying = False
                self._wakeup.wait_for(lambda: self._closing, GAP)
        for run in list(self._followed):
            self._try(run)

    def _try(self, run: Record) -> None:
        try:
            self._save(run)
        except StoreError as error:
            self._report(run, 0, str(error), False)
        except Exception as error:  # nobody else would hear of it, and other runs still want to be saved
            self._report(run, 0, f"It cannot be saved: {type(error).__name__}: {error}", False)

    def _save(self, run: Record) -> None:
        with self._wakeup:
            if run not in self._followed:  # it ended between being due and being saved, which made it due once more
                return
            over, waiting = run in self._ended, self._followed[run][:]
        epochs = len(run.history.epochs)
        self._store.save(run, waiting)
        with self._wakeup:
            self._followed[run] = [one for one in self._followed[run] if one not in waiting]
            done = over and not self._followed[run]
            if done:
                del self._followed[run]
                self._ended.discard(run)
                self._latest.pop(run, None)
        if done:
            self._store.release(run.number)
        self._report(run, epochs, "", done)
