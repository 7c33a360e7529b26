import pickle
import statistics

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcore.catalogue.datasets import Cifar10
from dlcore.engine.conductor import Conductor
from dlcore.engine.predicting import predict
from dlcore.recipe import change, read
from dlcore.recipes import DEFAULT, RECIPES

pytestmark = pytest.mark.timeout(1200)  # on a busy machine, a training of half a minute takes many

# Validation accuracy that each must reach; the median of three seeds for those that take a second or two.
GOALS = {"simplenet": 0.91, "mlp": 0.90, "two-moons": 0.97, "spirals": 0.97}
SLOW_GOALS = {"mnist-cnn": 0.89, "row-lstm": 0.92, "digits": 0.97}


@pytest.fixture(scope="module")
def conductor():
    conductor = Conductor()
    yield conductor
    conductor.close()


def trained(conductor, name, **changes):
    job = conductor.submit(name, change(RECIPES[name].recipe, changes))
    assert job.wait(1100)
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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_linear_regression_finds_that_five_gives_ten(conductor, seed):
    job = trained(conductor, "linear-regression", seed=seed)
    ((found,),) = answer(job, 5.0)
    assert found == pytest.approx(10, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_logistic_regression_passes_five_hours_and_fails_one(conductor, seed):
    job = trained(conductor, "logistic-regression", seed=seed)
    (_, five), (_, one) = answer(job, 5.0, 1.0)
    assert five > 0.8
    assert one < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", GOALS)
def test_quick_recipes_reach_their_accuracy_in_the_median_of_three_seeds(conductor, name):
    found = [trained(conductor, name, seed=seed).history.epochs[-1].val_accuracy for seed in range(3)]
    assert statistics.median(found) >= GOALS[name], found


@pytest.mark.slow
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


# The networks that the recipes are named after, each as its source writes it


class MnistCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout2d(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(self.dropout2(x))


class SimpleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc2(F.relu(self.fc1(x.view(-1, 784))))


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(784, 128), nn.Linear(128, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.view(-1, 784))))))


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


SOURCES = {
    "mnist-cnn": (MnistCnn, 1_199_882),
    "simplenet": (SimpleNet, 101_770),
    "mlp": (Perceptron, 109_386),
    "cifar-lenet": (LeNet, 62_006),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_recipe_has_the_network_of_its_source(name):
    recipe, (source, count) = RECIPES[name].recipe, SOURCES[name]
    ours, theirs = recipe.model.build(recipe.inputs, recipe.outputs), source()
    assert sum(parameter.numel() for parameter in ours.parameters()) == count
    with torch.no_grad():
        for one, other in zip(theirs.parameters(), ours.parameters(), strict=True):
            one.copy_(other)
    inputs = torch.randn(16, *recipe.shape, generator=torch.Generator().manual_seed(0))
    for training in (False, True):  # the same dropout, drawn in the same order
        found = []
        for network in (ours, theirs):
            torch.manual_seed(1)
            with torch.no_grad():
                found.append(network.train(training)(inputs))
        torch.testing.assert_close(*found)


def test_the_classic_convolutional_network_is_trained_as_its_source_does():
    recipe = RECIPES["mnist-cnn"].recipe
    assert (recipe.optimizer.kind, recipe.optimizer.lr, recipe.optimizer.momentum) == ("sgd", 0.001, 0.9)
    assert (recipe.batch_size, recipe.epochs, recipe.schedule.kind) == (64, 10, "constant")
