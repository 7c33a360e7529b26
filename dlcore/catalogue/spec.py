"""What a sample is, said once: what goes into a network, and what it is to tell.

A data set answers with a `Spec`. Whoever needs to know asks that, or the `Task` that is made of it (`tasks`): nobody
counts dimensions or lists kinds.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Features:
    """Some numbers, each with a meaning of its own: coordinates, or the columns of a table; (N, features) float32."""

    names: tuple[str, ...]
    noun: ClassVar[str] = "features"
    dtype: ClassVar[str] = "float32"  # PyTorch's name

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)


@dataclass(frozen=True)
class Picture:
    """Pixels, from 0 to 1 before they are normalised; (N, channels, height, width) float32."""

    channels: int
    height: int
    width: int
    drawn: bool = False  # bright on black, of the size and in the place that drawings get: a pen can make one
    noun: ClassVar[str] = "pictures"
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class Series:
    """What was measured at one time after the other, in channels with a name each; (N, steps, channels) float32."""

    steps: int
    names: tuple[str, ...]
    noun: ClassVar[str] = "series"
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.steps, len(self.names))


@dataclass(frozen=True)
class Tokens:
    """Some of a vocabulary in a row, as the letters or words of a text; their numbers, (N, length) int64."""

    vocabulary: tuple[str, ...]
    length: int
    noun: ClassVar[str] = "tokens"
    dtype: ClassVar[str] = "int64"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)


@dataclass(frozen=True)
class Classes:
    """One of several names; in a batch its number, (N,) int64."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """Values; in a batch (N, count) float32."""

    names: tuple[str, ...] = ("y",)


@dataclass(frozen=True)
class NextToken:
    """For each place of tokens the one that follows; in a batch their numbers, (N, length) int64."""

    vocabulary: tuple[str, ...]


Inputs = Features | Picture | Series | Tokens
Targets = Classes | Numbers | NextToken


@dataclass(frozen=True)
class Spec:
    """A sample: what goes in, and what is to come out."""

    inputs: Inputs
    targets: Targets
