"""Film: the weights that a run had after its epochs, so that whoever looks can go back to any of them.

A film begins with the network before the run's first own step. Of the epochs after it as many are kept as have room,
evenly spaced: every one at first, every second, fourth, … as the run goes on, and its last one. Which these are hangs
on the run alone, so a run that was interrupted has the same film. Of a network of more than 32 MB the first frame alone
has room, and of more than 64 MB none.
A branch's film begins where it left its parent, who has the epochs before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dlcore.runs import reels
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.reels import Frame, Shelf

MOST = 200  # frames of a film
ROOM = 64_000_000  # bytes that its weights take


class LookError(ValueError):
    """What is asked for cannot be seen; its text is a sentence for people that says what can."""


@dataclass(frozen=True, eq=False)
class Film(Sequence[Frame]):
    """The frames that are kept of a run, first to last. Nothing of it ever changes: training makes a new one.

    What is on disk is read when it is asked for, again each time; whoever goes through the whole film passes over what
    is damaged there.
    """

    most: int = MOST  # frames
    start: int = 0  # the epoch before the run's first own step
    filed: tuple[int, ...] = ()  # epochs whose frames are on the shelf
    held: tuple[Frame, ...] = ()  # those after them, in memory
    shelf: Shelf | None = None

    @property
    def epochs(self) -> tuple[int, ...]:
        """Whose frames are kept, first to last."""
        return self.filed + tuple(frame.epoch for frame in self.held)

    def bounded(self, size: int) -> Film:
        """The same for a network whose weights take so many bytes."""
        return replace(self, most=min(self.most, ROOM // max(size, 1)))

    def wants(self, epoch: int, last: bool = False) -> bool:
        """Whether the frame of this epoch, later than all that are kept, would be kept; the run's last one would."""
        return (last and self.most > 1) or self._fits(epoch, self.distance(epoch))

    def plus(self, frame: Frame) -> Film:
        """With one more frame, of a later epoch, and without those that are then too close to each other."""
        every = self.distance(frame.epoch)
        if self.held and self.distance(self.held[-1].epoch) == every and self._fits(self.held[-1].epoch, every):
            return Film(self.most, self.start, self.filed, (*self.held, frame), self.shelf)  # none is too close
        filed = [epoch for epoch in self.filed if self._fits(epoch, every)]
        held = [one for one in self.held if self._fits(one.epoch, every)]
        return Film(self.most, self.start, tuple(filed), (*held, frame), self.shelf)

    def at(self, epoch: int) -> Frame:
        """The frame of an epoch. Raises LookError, saying which are kept, when that one is not or cannot be used."""
        for frame in self.held:
            if frame.epoch == epoch:
                return frame
        if epoch in self.filed:
            try:
                return reels.read(self.shelf, epoch)
            except CheckpointError as error:
                raise LookError(f"The frame of epoch {epoch} cannot be used: {error}. {self._kept()}") from error
        raise LookError(f"Epoch {epoch} is not kept. {self._kept(epoch)}")

    def read(self) -> tuple[list[Frame], list[str]]:
        """All frames, those on disk read, and a sentence on each file there that was passed over."""
        found, passed = reels.read_all(self.shelf) if self.filed else ({}, [])
        return [*(found[epoch] for epoch in self.filed if epoch in found), *self.held], passed

    def __len__(self) -> int:
        return len(self.filed) + len(self.held)

    def __getitem__(self, place):
        return self.read()[0][place] if isinstance(place, slice) else self.at(self.epochs[place])

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.read()[0])

    def distance(self, latest: int) -> int:
        """From one epoch that is kept to the next, when `latest` is the last one; 0 when there is no next one."""
        if self.most < 2:
            return 0
        every = 1
        while -(-(latest - self.start) // every) >= self.most:  # with both ends, one more than there are gaps
            every *= 2
        return every

    def _fits(self, epoch: int, every: int) -> bool:
        """Whether an epoch is one of those that are kept so far from each other."""
        return (epoch - self.start) % every == 0 if every else self.most == 1 and epoch == self.start

    def _kept(self, epoch: int | None = None) -> str:
        """Which epochs are kept, as a sentence for people."""
        if not self:
            return "No frames are kept of this run; it can be seen as it is now, or as it was left."
        first, *_, last = epochs = (*self.epochs[:1], *self.epochs)
        near = "" if epoch is None else f", the nearest is {min(epochs, key=lambda kept: abs(kept - epoch))}"
        many = f"{len(self)} epochs are" if len(self) > 1 else "One epoch is"
        return f"{many} kept, from {first} to {last}{near}."
