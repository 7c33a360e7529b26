"""Capturing: checkpoints of a small run, and whether two hold the same."""

import torch

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Moons, load
from dlcore.catalogue.optimizers import Adam
from dlcore.engine.capture import capture
from dlcore.engine.randomness import RandomState
from dlcore.engine.training import Step, build, train
from dlcore.recipe import Recipe

RECIPE = Recipe(
    data=Moons(samples=200),
    model=MLP(widths=(8, 8), dropout=0.3, batch_norm=True),
    optimizer=Adam(lr=0.01),
    batch_size=32,
    epochs=3,
)
CLOCKS = {"step": 5, "elapsed": 1.5, "stepping": 1.0, "working": 1.25}


def trained(recipe=RECIPE, steps=5):
    """A run that has taken some steps, with the state of its random numbers then."""
    run = build(recipe, load(recipe.data))
    events = train(run)
    while steps:
        steps -= isinstance(next(events), Step)
    return run, RandomState("cpu")


def taken(recipe=RECIPE, steps=5):
    return capture(*trained(recipe, steps), 1, 1, **CLOCKS)


def same(one, other):
    """Whether two nested values hold the same, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
