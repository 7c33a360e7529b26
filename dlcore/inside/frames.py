"""Frames that are asked: which of a film's, so that few passes show the whole run, and networks with their weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlcore.catalogue.architectures import skeleton
from dlcore.runs.film import Frame

if TYPE_CHECKING:
    from dlcore.engine.training import Run

MOST = 40  # frames that a view asks of a film


def evenly(epochs: Sequence[int], most: int = MOST) -> list[int]:
    """At most so many of the epochs of a film, the first and the last among them.

    Every one, or every second, fourth and so on: of a film that grows, the epochs that are chosen stay the same, but
    for the last, until half of them go. So what was asked of them can be kept.
    """
    stride = 1
    while (len(epochs) - 1) // stride + 1 > max(1, most - 1):
        stride *= 2
    return list(dict.fromkeys([*epochs[::stride], *epochs[-1:]]))


def networks(run: Run, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Run]]:
    """A run with each frame's weights, in eval mode; its own stay as they are. One at a time: all are one network.

    Raises CheckpointError for weights of another network.
    """
    from dlcore.engine.capture import load_weights  # PyTorch is here by then
    from dlcore.engine.training import to_device

    model = skeleton(run.recipe.model, run.recipe.inputs, run.recipe.outputs).eval()
    for frame in frames:
        load_weights(model, dict(frame.weights), run.recipe, assign=True)
        to_device(model, run.recipe.device)
        yield frame, replace(run, model=model)
