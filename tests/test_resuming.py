"""A run that was interrupted goes on as if nothing had happened, bit for bit."""

import random

import pytest

from dlcore import jobs
from dlcore.optimizers import Optimizer
from dlcore.recipe import change
from dlcore.recipes import RECIPES
from dlcore.schedules import Schedule
from dlcore.settings import choices
from dlcore.store import Store
from tests.running import (
    DROPPING,
    Breaks,
    alone,
    changed,
    few_digits,
    in_pieces,
    measured,
    stored,
)
from tests.test_datasets import write_cifar

# Fewer epochs and larger batches, where a recipe is slow; what makes it special stays.
SHORT = {
    "digits": {"epochs": 3, "batch_size": 40},
    "simplenet": {"epochs": 3, "batch_size": 40},
    "mlp": {"epochs": 3, "batch_size": 40},
    "mnist-cnn": {"epochs": 2, "batch_size": 40},
    "cifar-lenet": {"epochs": 3, "batch_size": 7},
    "row-lstm": {"epochs": 3, "batch_size": 40},
    "two-moons": {"epochs": 3},
    "linear-regression": {"epochs": 30},
    "logistic-regression": {"epochs": 30},
}


@pytest.fixture
def breaks(monkeypatch):
    return Breaks(monkeypatch)


@pytest.fixture
def small_data(monkeypatch, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    write_cifar(root)
    monkeypatch.setenv("DLCORE_DATA", str(root))
    small, load = few_digits(), jobs.load
    monkeypatch.setattr(jobs, "load", lambda data, *rest: small if data.kind == "mnist-5k" else load(data, *rest))


def check(breaks, root, recipe, seed, longest=12):
    """Interrupted three times or more, it has the numbers of a run that never was; so says the store as well."""
    expected = alone(recipe)
    job, found, pieces = in_pieces(breaks, root, recipe, random.Random(seed), longest)
    assert pieces >= 2
    assert found == expected
    kept = stored(root, job.number)
    assert measured(kept.history) == expected[:2]
    assert kept.status == "finished"
    checkpoint, passed = Store(root).latest(kept)
    assert passed == []
    assert [value.numpy().tobytes() for value in checkpoint.model.values()] == expected[2]


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.usefixtures("small_data")
def test_every_named_recipe_goes_on_exactly(breaks, tmp_path, name):
    assert SHORT.keys() == RECIPES.keys()
    check(breaks, tmp_path / "runs", change(RECIPES[name].recipe, SHORT[name]), seed=name)


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_every_optimizer_goes_on_exactly(breaks, tmp_path, kind):
    check(breaks, tmp_path, changed(DROPPING, optimizer=choices(Optimizer)[kind](lr=0.05), epochs=5), seed=kind)


@pytest.mark.parametrize("kind", choices(Schedule))
def test_every_schedule_goes_on_exactly(breaks, tmp_path, kind):
    check(breaks, tmp_path, changed(DROPPING, schedule=choices(Schedule)[kind](), epochs=5), seed=kind)
