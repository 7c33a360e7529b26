"""Looping: small runs for the tests of the loop, which nothing but the test drives."""

import torch

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Moons, load
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.training import build
from dlcore.recipe import Recipe

MOONS = Recipe(
    data=Moons(samples=200), model=MLP(widths=(8,)), optimizer=SGD(lr=0.1, momentum=0.5), epochs=3, batch_size=32
)
STEPS = 4  # an epoch: 120 samples in batches of 32, the last of 24


def start(recipe=MOONS, data=None):
    return build(recipe, data or load(recipe.data, recipe.device))


def digits(samples=100):
    """Random pictures that pass for MNIST, so that a step costs little."""
    random = torch.Generator().manual_seed(0)
    splits = [
        Split(torch.randn(count, 1, 28, 28, generator=random), torch.randint(10, (count,), generator=random))
        for count in (samples, 40, 40)
    ]
    return Dataset(*splits, mean=torch.full((1, 1, 1), 0.25), std=torch.full((1, 1, 1), 0.5))


def weights(model):
    return [value.detach().clone() for value in model.state_dict().values()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
