"""History: what a run measured, by step and by epoch, in columns of numbers. Recording costs next to nothing; drawing
asks for thin curves.

Step losses arrive as tensors on their device and are read in batches (`settle`), never one by one, since reading one
would make the device wait. One thread writes, any number read.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from dlcore.curve import Curve
from dlcore.later import torch

PENDING = 256  # losses that may wait to be read
MEASURES = ("data.kind", "loss.kind")  # after these have changed, figures are measured by something else
LOST = "lost"  # a change by which what was measured before is not known any more


@dataclass(frozen=True)
class Epoch:
    """A row of the table of epochs. Accuracies are shares of 1, None for regression; seconds are the run's own."""

    epoch: int
    step: int  # how many were done
    train_loss: float
    train_accuracy: float | None
    val_loss: float
    val_accuracy: float | None
    lr: float
    seconds: float
    steps_per_second: float


@dataclass(frozen=True)
class Change:
    """A setting that changed while the run trained."""

    step: int  # how many were done
    setting: str  # by dotted path, or "pace"
    value: float | str | bool | None


class Epochs(Sequence[Epoch]):
    """The rows of the table of epochs. Each is made when it is asked for: as objects they would take ten times the
    memory.
    """

    def __init__(self, columns: Mapping[str, Curve]):
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns["epoch"])  # which grows last

    def __getitem__(self, place: int | slice) -> Epoch | list[Epoch]:
        if isinstance(place, slice):
            count = len(self)
            columns = [column.values[:count][place].tolist() for column in self._columns.values()]
            return [_row(*values) for values in zip(*columns, strict=True)]
        place = range(len(self))[place]  # from the end, too, and no further
        return self[place : place + 1][0]

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return list(self) == other

    __hash__ = None  # it grows


class History:
    """The measurements of one run, and what was changed on its way."""

    def __init__(self, losses: Sequence[float] = (), epochs: Sequence[Epoch] = (), changes: Iterable[Change] = ()):
        # What each epoch measured, in their order; what was not measured is not a number.
        self.columns = {field.name: Curve(dtype=np.float64) for field in fields(Epoch)}
        self.epochs = Epochs(self.columns)
        self.changes: list[Change] = list(changes)  # in the order of their steps, and then of their names
        # The highest validation accuracy, of the epochs that can be compared with the last; the lowest loss decides
        # ties, and alone in regression.
        self.best: Epoch | None = None
        self.first_bad_step: int | None = None  # from 1; whose loss was not a finite number
        self._losses, self.steps = Curve(), 0
        self._pending: list[torch.Tensor] = []
        self._lock = threading.Lock()
        self.extend(losses, epochs)

    def extend(self, losses: Sequence[float], epochs: Sequence[Epoch]) -> None:
        """Add steps and epochs that were measured elsewhere, or have been read."""
        self._losses.extend(losses)
        self.steps += len(losses)
        comparable = [row for row in epochs if row.step > self.measured_since]
        candidates = [self.best, *comparable] if self.best else comparable
        self.best = max(candidates, key=_merit, default=None)  # the first of equals
        for name in reversed(self.columns):  # the epochs' numbers last: who finds one there finds all else
            values = [getattr(row, name) for row in epochs]
            self.columns[name].extend([math.nan if value is None else value for value in values])

    def add_step(self, loss: torch.Tensor) -> None:
        self._pending.append(loss)
        self.steps += 1
        if len(self._pending) >= PENDING:
            self.settle()

    def add_epoch(self, epoch: Epoch) -> None:
        self.extend([], [epoch])

    def change(self, values: Mapping[str, float | None]) -> None:
        """Settings change at this step. What a run that is repeated from an earlier place changed later, gives way."""
        others = [change for change in self.changes if change.step < self.steps or change.setting not in values]
        new = [Change(self.steps, setting, value) for setting, value in values.items()]
        # A new list: others may be reading the old one.
        self.changes = sorted([*others, *new], key=in_order)

    @property
    def measured_since(self) -> int:
        """The step after which epochs were measured on the same data and by the same loss as the last."""
        return max((change.step for change in self.changes if change.setting in (*MEASURES, LOST)), default=0)

    @property
    def lowest_epoch(self) -> int:
        """The epoch with the lowest validation loss, of those that can be compared with the last."""
        first = int(np.searchsorted(self.columns["step"].values, self.measured_since, "right"))
        return self.columns["val_loss"].lowest(first) + 1

    def until(self, step: int) -> History:
        """What was measured in the first steps alone, with every change that was ever made."""
        lost = {min(change.step, step) for change in self.changes if change.setting == LOST}
        changes = [change for change in self.changes if change.setting != LOST]
        changes = sorted([*changes, *(Change(at, LOST, None) for at in lost)], key=in_order)
        return History(self.losses[:step], [row for row in self.epochs if row.step <= step], changes)

    def frozen(self) -> History:
        """As it is now; what is measured later is not in it. Whoever trains it may go on meanwhile."""
        found = copy.copy(self)
        while True:  # once, but in the moment in which a best epoch is known that is not in the columns yet
            found.columns = {name: column.frozen() for name, column in self.columns.items()}
            found.epochs, found.best = Epochs(found.columns), self.best
            if not found.best or found.best.epoch <= len(found.epochs):
                break
        found._losses = self.step_losses.frozen()  # and its steps last: they are never fewer than the epochs say
        found.steps, found._pending, found._lock = len(found._losses), [], threading.Lock()
        return found

    def settle(self) -> None:
        """Read the losses that wait; on an accelerator this waits for it."""
        with self._lock:
            waiting = self._pending[:]  # one reader at a time; the writer may append meanwhile
            if waiting:
                values = torch.stack(waiting).float().cpu().numpy()
                if self.first_bad_step is None and not np.isfinite(values).all():
                    self.first_bad_step = len(self._losses) + 1 + int(np.argmin(np.isfinite(values)))
                self._losses.extend(values)
                del self._pending[: len(waiting)]

    def give_up(self) -> None:
        """Losses that wait and cannot be read any more, as after an error of their device, are no numbers."""
        with self._lock:
            self._losses.extend(np.full(len(self._pending), np.nan, np.float32))
            self._pending.clear()

    @property
    def step_losses(self) -> Curve:
        """Loss of every step so far, float32."""
        self.settle()
        return self._losses

    @property
    def losses(self) -> np.ndarray:
        """The same as an array (steps,), which is not to be changed."""
        return self.step_losses.values

    def rows(self) -> list[dict]:
        """The epochs as plain rows, for CSV and JSON."""
        return [asdict(row) for row in self.epochs]


def in_order(change: Change) -> tuple[int, str]:
    """What changes are sorted by."""
    return change.step, change.setting


def _merit(row: Epoch) -> tuple[float, float]:
    return (row.val_accuracy or 0, -row.val_loss if math.isfinite(row.val_loss) else -math.inf)


def _row(*values: float) -> Epoch:
    """An epoch of what the columns hold, which is all floating point."""
    epoch, step, train_loss, train_accuracy, val_loss, val_accuracy, *rest = values
    accuracies = [None if math.isnan(share) else share for share in (train_accuracy, val_accuracy)]
    return Epoch(int(epoch), int(step), train_loss, accuracies[0], val_loss, accuracies[1], *rest)
