"""Whatever a run is made of and wherever it is interrupted, it goes on as if nothing had happened, bit for bit."""

import random
from dataclasses import replace

import pytest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.optimizers import AdamW, Optimizer
from dlcore.catalogue.schedules import Cosine, Schedule
from dlcore.engine import loading
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from dlcore.settings import choices
from tests.catalogue.datasets.files import write_cifar
from tests.kill_campaign import Forked, Result, difference, train
from tests.running import (
    DROPPING,
    LONG,
    MOONS,
    PER_EPOCH,
    alone,
    changed,
    few_digits,
    fingerprint,
    finish,
    in_pieces,
    measured,
    opened,
    stored,
)

pytestmark = pytest.mark.usefixtures("quick_saving")

# Fewer epochs and larger batches, where a recipe is slow; what makes it special stays.
SHORT = {
    "digits": {"epochs": 3, "batch_size": 40},
    "simplenet": {"epochs": 3, "batch_size": 40},
    "mlp": {"epochs": 3, "batch_size": 40},
    "mnist-cnn": {"epochs": 2, "batch_size": 40},
    "cifar-lenet": {"epochs": 3, "batch_size": 7},
    "row-lstm": {"epochs": 3, "batch_size": 40},
    "two-moons": {"epochs": 3},
    "spirals": {"epochs": 3},
    "linear-regression": {"epochs": 30},
    "logistic-regression": {"epochs": 30},
}


@pytest.fixture
def small_data(monkeypatch, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    write_cifar(root)
    monkeypatch.setenv("DLCORE_DATA", str(root))
    small, load = few_digits(), loading.load
    monkeypatch.setattr(loading, "load", lambda data, *rest: small if data.kind == "mnist-5k" else load(data, *rest))


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
def test_every_optimizer_goes_on_exactly(device, breaks, tmp_path, kind):
    recipe = changed(DROPPING, device=device, optimizer=choices(Optimizer)[kind](lr=0.05), epochs=5)
    check(breaks, tmp_path, recipe, seed=kind)


@pytest.mark.parametrize("kind", choices(Schedule))
def test_every_schedule_goes_on_exactly(breaks, tmp_path, kind):
    check(breaks, tmp_path, changed(DROPPING, schedule=choices(Schedule)[kind](), epochs=5), seed=kind)


def test_batch_norm_augmentation_and_decay_together_go_on_exactly(breaks, small_data, tmp_path):
    recipe = Recipe(
        model=MLP(widths=(16,), dropout=0.3, batch_norm=True),
        optimizer=AdamW(lr=0.01, weight_decay=0.1),
        schedule=Cosine(),
        augmentation=Augmentation(shift=0.1, rotate=20),
        batch_size=30,
        epochs=4,
        seed=3,
    )
    check(breaks, tmp_path / "runs", recipe, seed="all")


@pytest.mark.parametrize("size", [1, 7, 120, "all"])
def test_batches_of_any_size_go_on_exactly(breaks, tmp_path, size):
    check(breaks, tmp_path, changed(DROPPING, batch_size=size, epochs=6), seed=size, longest=200 if size == 1 else 12)


def test_a_run_goes_on_from_every_place_of_its_first_epochs(breaks, tmp_path):
    """After any step, and while and after an epoch is evaluated."""
    recipe = changed(DROPPING, epochs=2)
    expected = alone(recipe)
    for events in range(1, 2 * (PER_EPOCH + 3) + 1):  # steps, two evaluations, the epoch's end
        there = breaks.stand_still(events)
        with opened(tmp_path) as conductor:
            job = conductor.submit("moons", recipe)
            assert there.wait(LONG)
        with opened(tmp_path) as conductor:
            again = conductor.resume(job.number)
            finish(again)
            assert fingerprint(again) == expected, events


# Real processes that are killed


@pytest.mark.slow
@pytest.mark.parametrize(("course", "kills"), [("everything", 2), ("simplenet", 1)])
def test_a_process_that_is_killed_goes_on_exactly(tmp_path, course, kills):
    whole = train(tmp_path / "whole", course, start=Forked)
    for attempt in range(8):  # one may be so quick that it is over before it is killed: then it is killed sooner
        like = replace(whole, loading=whole.loading / 2**attempt, training=whole.training / 2**attempt)
        broken = train(tmp_path / f"broken-{attempt}", course, kills, random.Random(course), like, start=Forked)
        if broken.kills:
            break
    assert broken.kills
    assert difference(whole, broken) == ""


def test_runs_that_differ_are_told_apart(tmp_path):
    """What the test above compares by would notice."""
    with opened(tmp_path / "runs") as conductor:
        started = [conductor.submit("moons", changed(MOONS, seed=seed)) for seed in (0, 0, 1)]
        finish(*started)
    results = [Result(tmp_path, job.number, {}, 0, 0, 0) for job in started]
    assert difference(results[0], results[1]) == ""
    assert difference(results[0], results[2]) == "losses, epochs, model, optimizer, random"
