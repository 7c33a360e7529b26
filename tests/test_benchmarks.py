import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import tick
from benchmarks.__main__ import NAMES
from benchmarks.measuring import in_turns, pause, spread, under_way
from benchmarks.peers import PEERS, Task
from benchmarks.pictures import cifar_at_hand, write_cifar, write_mnist
from dlcore.catalogue.datasets import Cifar10, Mnist, load
from dlcore.engine.training import Step, build, train
from dlcore.recipe import change
from dlcore.recipes import RECIPES
from pages.parts.charts import accuracy_figure, loss_figure
from tests.running import opened, settle


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_measures_and_what_is_to_be_reached(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__.splitlines()[0].endswith(".")
    assert "To reach" in module.__doc__
    assert callable(module.run)


@pytest.mark.slow
def test_the_command_lists_them_and_refuses_others():
    command = [sys.executable, "-m", "benchmarks"]
    listed = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(f"\n  {name} " in listed for name in NAMES)
    refused = subprocess.run([*command, "speed"], capture_output=True, text=True)
    assert (refused.returncode, "speed" in refused.stderr) == (2, True)


def test_arms_take_turns_and_keep_their_figures_in_the_order_of_the_rounds():
    order = []
    arms = {name: lambda name=name: order.append(name) or len(order) for name in ("a", "b", "c")}
    found = in_turns(arms, rounds=10)
    assert [set(order[start : start + 3]) for start in range(0, 30, 3)] == [set(arms)] * 10
    assert all(np.array_equal(found[name], np.flatnonzero(np.array(order) == name) + 1) for name in arms)
    assert len({tuple(order[start : start + 3]) for start in range(0, 30, 3)}) > 1  # no arm is always the first


def test_a_spread_is_the_median_and_the_quartiles():
    assert spread([1, 2, 3, 4, 5]) == "3 (2 to 4)"
    assert spread([0.001, 0.002, 0.003], unit=1e3) == "2 (1.5 to 2.5)"


@pytest.mark.parametrize("peer", ["images + DataLoader", "tensors + DataLoader"])
def test_a_peer_trains_an_epoch(peer, monkeypatch):
    recipe = change(RECIPES["simplenet"].recipe, {"optimizer": {"kind": "sgd", "lr": 0.1}})
    data = load(recipe.data, "cpu", lambda share: None)
    task = Task(recipe, data, data.train.inputs[:640], data.train.targets[:640])
    model = task.network()
    monkeypatch.setattr(Task, "network", lambda task: model)
    epoch = PEERS[peer](task)
    before = recipe.loss.of(model(task.inputs), task.targets)
    assert all(epoch() > 0 for _ in range(3))
    assert recipe.loss.of(model(task.inputs), task.targets) < before / 2


def test_a_paused_job_stands_still_when_its_clocks_are_read(tmp_path):
    with opened(tmp_path) as conductor:
        job = under_way(conductor.submit("simplenet", change(RECIPES["simplenet"].recipe, {"epochs": 1000})))
        job.resume()
        pause(job)
        before = job.history.steps, job.elapsed, job.evaluating
        for _ in range(5):
            settle(job)
        assert (job.history.steps, job.elapsed, job.evaluating) == before
        assert 0 <= job.evaluating <= job.elapsed


def test_random_pictures_are_read_as_the_real_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    write_mnist(tmp_path, 200)
    found = load(Mnist())
    assert (len(found.train), len(found.validation), found.train.inputs.shape[1:]) == (180, 20, (1, 28, 28))
    assert set(found.train.targets.tolist()) == set(range(10))
    with cifar_at_hand(100) as real:
        assert not real
        assert len(load(Cifar10()).train) == 90
    assert os.environ["DLCORE_DATA"] == str(tmp_path)
    write_cifar(tmp_path, 50)
    with cifar_at_hand() as real:
        assert real
        assert len(load(Cifar10()).train) == 45


# What the figures rest on, and a test can hold without a clock


class Reads(TorchDispatchMode):
    """Notes every tensor of which a value is read, for which an accelerator would have to be waited for."""

    def __init__(self):
        super().__init__()
        self.read: list[int] = []

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.read.append(arguments[0].data_ptr())
        return function(*arguments, **(named or {}))


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "cifar-lenet"])
def test_no_step_reads_a_value_from_its_device(name):
    recipe = RECIPES[name].recipe
    run = build(recipe, load(recipe.data, "cpu", lambda share: None))
    events = train(run)
    next(events)
    with Reads() as reads:
        assert all(isinstance(next(events), Step) for _ in range(min(run.steps_per_epoch - 1, 3)))
    # Optimizers count their steps on the CPU, whatever the device.
    counts = {state["step"].data_ptr() for state in run.optimizer.state.values() if "step" in state}
    assert set(reads.read) <= counts


@pytest.mark.parametrize("steps", [10**3, 10**5])
def test_what_a_tick_sends_is_bounded(steps):
    record = tick.stored(steps)
    figures = [loss_figure([record]), accuracy_figure([record])]
    assert sum(len(json.dumps(figure, separators=(",", ":"))) for figure in figures) <= 30_000
