"""What a sample is, said once: what goes into a network, and what it is to tell.

A data set answers with a `Spec`. Whoever needs to know asks that, or the `Task` that is made of it (`tasks`): nobody
counts dimensions or lists kinds.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Features:
    """Some numbers, each with a meaning of its own: coordinates, or the columns of a table."""

    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)


@dataclass(frozen=True)
class Picture:
    """Pixels, from 0 to 1 before they are normalised."""

    channels: int
    height: int
    width: int
    drawn: bool = False  # bright on black, of the size and in the place that drawings get: a pen can make one

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class Classes:
    """One of several names; in a batch its number, (N,) int64."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """Values; in a batch (N, count) float32."""

    names: tuple[str, ...] = ("y",)


Inputs = Features | Picture
Targets = Classes | Numbers


@dataclass(frozen=True)
class Spec:
    """A sample: what goes in, and what is to come out."""

    inputs: Inputs
    targets: Targets
