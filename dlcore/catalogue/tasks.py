"""Tasks: what a network is to tell of a sample, made of the data's specification.

A task owns what follows from the targets alone: how many outputs answer, what they say, how much a batch counts in a
mean, and which shares are measured beside the loss. A loss may need fewer outputs, and says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from dlcore.catalogue import metrics
from dlcore.catalogue.spec import Classes, NextToken, Numbers, Spec
from dlcore.later import torch


class Reads(Protocol):
    """What a task needs of a loss."""

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (…, K) as class probabilities (…, classes) that sum to one."""


@dataclass(frozen=True)
class Classification:
    """Which of several classes a sample belongs to."""

    classes: tuple[str, ...]
    measures_accuracy: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of what a network gives a sample."""
        return (len(self.classes),)

    def predict(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        """Outputs (N, K) as probabilities (N, classes)."""
        return loss.probabilities(outputs)

    def answers(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        """The class numbers (N,) that outputs (N, K) stand for."""
        return loss.probabilities(outputs).argmax(1)

    def weight(self, targets: torch.Tensor) -> int:
        """How many answers a batch's mean is over."""
        return len(targets)

    def accuracy(self, targets: torch.Tensor, answers: torch.Tensor) -> float | None:
        """Share of samples (N,) whose class is right."""
        return metrics.accuracy(targets, answers, len(self.classes))


@dataclass(frozen=True)
class Regression:
    """Values."""

    names: tuple[str, ...]
    classes: ClassVar[tuple[str, ...]] = ()
    measures_accuracy: ClassVar[bool] = False

    @property
    def outputs(self) -> tuple[int, ...]:
        return (len(self.names),)

    def predict(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        """The outputs (N, values) themselves."""
        return outputs

    def answers(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        return outputs

    def weight(self, targets: torch.Tensor) -> int:
        """How many answers a batch's mean is over."""
        return len(targets)

    def accuracy(self, targets: torch.Tensor, answers: torch.Tensor) -> float | None:
        """None: values are near or far, and neither right nor wrong."""
        return None


@dataclass(frozen=True)
class NextTokenPrediction:
    """Which token follows, after each place of a sample: as many answers as the sample is long."""

    vocabulary: tuple[str, ...]
    length: int
    classes: ClassVar[tuple[str, ...]] = ()  # a sample has none; its tokens are not told apart as a few classes are
    measures_accuracy: ClassVar[bool] = True

    @property
    def outputs(self) -> tuple[int, ...]:
        return (self.length, len(self.vocabulary))

    def predict(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        """Outputs (N, length, vocabulary) as probabilities of the same shape."""
        return loss.probabilities(outputs)

    def answers(self, outputs: torch.Tensor, loss: Reads) -> torch.Tensor:
        """The likeliest token after each place, (N, length)."""
        return loss.probabilities(outputs).argmax(-1)

    def weight(self, targets: torch.Tensor) -> int:
        """How many answers a batch's mean is over."""
        return targets.numel()

    def accuracy(self, targets: torch.Tensor, answers: torch.Tensor) -> float | None:
        """Share of tokens (N, length) that are right."""
        return metrics.accuracy(targets, answers, len(self.vocabulary))


Task = Classification | Regression | NextTokenPrediction


def task_of(spec: Spec) -> Task:
    match spec.targets:
        case Classes(names):
            return Classification(names)
        case Numbers(names):
            return Regression(names)
        case NextToken(vocabulary):
            return NextTokenPrediction(vocabulary, spec.inputs.length)
