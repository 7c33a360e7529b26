"""Schedules: how the learning rate moves while training.

A schedule is a pure function: `factor(step, total, per_epoch)` is what the optimizer's learning rate is multiplied by
at a step (from 0), given the steps in the whole run and in an epoch. Nothing is kept between steps.
"""

import math
from typing import Annotated, Literal

from pydantic import Field

from dlcore.settings import Settings, Slider


class Schedule(Settings):
    """A course of the learning rate."""

    def factor(self, step: int, total: int, per_epoch: int) -> float:
        raise NotImplementedError


class Constant(Schedule):
    """The learning rate stays as it is."""

    title = "Constant"
    kind: Literal["constant"] = "constant"

    def factor(self, step, total, per_epoch):
        return 1.0


class StepDecay(Schedule):
    """Cut by a factor every few epochs: a staircase."""

    title = "Step"
    kind: Literal["step"] = "step"
    every: Annotated[int, Slider(1, 20)] = Field(
        5, ge=1, le=10000, title="Every", description="Epochs between two cuts."
    )
    gamma: Annotated[float, Slider(0.1, 1)] = Field(
        0.5, gt=0, le=1, title="Gamma", description="What the learning rate is multiplied by at a cut."
    )

    def factor(self, step, total, per_epoch):
        return self.gamma ** (step // per_epoch // self.every)


class Exponential(Schedule):
    """Cut by the same factor after every epoch."""

    title = "Exponential"
    kind: Literal["exponential"] = "exponential"
    gamma: Annotated[float, Slider(0.5, 1)] = Field(
        0.9, gt=0, le=1, title="Gamma", description="What the learning rate is multiplied by after an epoch."
    )

    def factor(self, step, total, per_epoch):
        return self.gamma ** (step // per_epoch)


class Cosine(Schedule):
    """Falls along half a cosine to a small share of itself: slow, fast, slow. arXiv:1608.03983, without restarts."""

    title = "Cosine"
    kind: Literal["cosine"] = "cosine"
    final: Annotated[float, Slider(0, 0.5)] = Field(
        0.0, ge=0, le=1, title="Final share", description="What is left of the learning rate at the end."
    )

    def factor(self, step, total, per_epoch):
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * step / total)) / 2


class OneCycle(Schedule):
    """Rises from low to the full learning rate, then falls to almost nothing, in one sweep. arXiv:1708.07120."""

    title = "One-cycle"
    kind: Literal["one-cycle"] = "one-cycle"
    warmup: Annotated[float, Slider(0.05, 0.5)] = Field(
        0.3, gt=0, lt=1, title="Rising share", description="Share of the run in which the learning rate rises."
    )
    start: Annotated[float, Slider(0.01, 1, log=True)] = Field(
        0.04, gt=0, le=1, title="First share", description="Share of the learning rate to start with."
    )
    final: Annotated[float, Slider(1e-6, 1, log=True)] = Field(
        4e-6, gt=0, le=1, title="Final share", description="Share of the learning rate to end with."
    )

    def factor(self, step, total, per_epoch):
        peak, last = self.warmup * total - 1, max(total - 1, 1)
        if step <= peak:
            return _cosine_between(self.start, 1.0, step / peak if peak > 0 else 1.0)
        return _cosine_between(1.0, self.final, (step - peak) / (last - peak))


class LinearWarmup(Schedule):
    """Rises in a straight line to the full learning rate, then stays: spares young weights a violent start."""

    title = "Linear warm-up"
    kind: Literal["warmup"] = "warmup"
    epochs: Annotated[float, Slider(0.1, 10)] = Field(
        1.0, gt=0, le=10000, title="Warm-up epochs", description="How many epochs the rise takes."
    )

    def factor(self, step, total, per_epoch):
        return min(1.0, (step + 1) / (self.epochs * per_epoch))


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
