import pickle
import statistics

import numpy as np
import pytest
import torch

from dlcore.datasets import Cifar10
from dlcore.jobs import Conductor
from dlcore.recipe import change, read
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.training import predict

# Validation accuracy that each must reach; the median of three seeds for those that take a second or two.
GOALS = {"simplenet": 0.91, "mlp": 0.90, "two-moons": 0.97}
SLOW_GOALS = {"mnist-cnn": 0.89, "row-lstm": 0.92, "digits": 0.97}


@pytest.fixture(scope="module")
def conductor():
    conductor = Conductor()
    yield conductor
    conductor.close()


def trained(conductor, name, **changes):
    job = conductor.submit(name, change(RECIPES[name].recipe, changes))
    assert job.wait(290)
    assert job.status == "finished", job.failure
    return job


def answer(job, *inputs):
    raw = torch.tensor(inputs).unsqueeze(1)
    return job.ask(lambda run: predict(run, raw)).result(30).tolist()


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_says_what_it_shows_and_survives_json(name):
    named = RECIPES[name]
    assert named.recipe.problems() == []
    assert len(named.about) > 20
    assert named.about.endswith(".")
    assert read(named.recipe.to_json()) == named.recipe


def test_the_default_recipe_is_there_and_needs_no_download():
    assert RECIPES[DEFAULT].recipe.data.kind == "mnist-5k"


def test_no_two_recipes_are_the_same():
    assert len({named.recipe for named in RECIPES.values()}) == len(RECIPES)


@pytest.mark.parametrize("seed", range(3))
def test_linear_regression_finds_that_five_gives_ten(conductor, seed):
    job = trained(conductor, "linear-regression", seed=seed)
    ((found,),) = answer(job, 5.0)
    assert found == pytest.approx(10, abs=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_logistic_regression_passes_five_hours_and_fails_one(conductor, seed):
    job = trained(conductor, "logistic-regression", seed=seed)
    (_, five), (_, one) = answer(job, 5.0, 1.0)
    assert five > 0.8
    assert one < 0.5


@pytest.mark.parametrize("name", GOALS)
def test_quick_recipes_reach_their_accuracy_in_the_median_of_three_seeds(conductor, name):
    found = [trained(conductor, name, seed=seed).history.epochs[-1].val_accuracy for seed in range(3)]
    assert statistics.median(found) >= GOALS[name], found


@pytest.mark.parametrize("name", SLOW_GOALS)
def test_slow_recipes_reach_their_accuracy(conductor, name):
    assert trained(conductor, name).history.epochs[-1].val_accuracy >= SLOW_GOALS[name]


def test_cifar_lenet_trains_on_photographs_that_are_on_disk(conductor, monkeypatch, tmp_path):
    # A stand-in of random pixels, laid out as torchvision unpacks CIFAR-10.
    random, folder = np.random.default_rng(0), tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {
            "batch_label": name,
            "data": random.integers(0, 256, (40, 3072), dtype=np.uint8),
            "labels": [number % 10 for number in range(40)],
            "filenames": [f"{number}.png" for number in range(40)],
        }
        (folder / name).write_bytes(pickle.dumps(batch))
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    monkeypatch.setattr(Cifar10, "fetch", lambda *_: pytest.fail("what is on disk is not fetched"))
    job = trained(conductor, "cifar-lenet", epochs=1)
    assert job.history.steps == 3  # 180 of the 200 pictures are trained on, in batches of 64
    (row,) = job.history.epochs
    assert row.train_loss == pytest.approx(np.log(10), abs=0.3)  # nothing to learn here: as good as guessing
