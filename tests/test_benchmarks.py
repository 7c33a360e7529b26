import importlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import against, steps, tick
from benchmarks.__main__ import NAMES
from benchmarks.measuring import in_turns, pause, print_table, spread, under_way
from benchmarks.peers import PEERS, Task
from benchmarks.pictures import cifar_at_hand, write_cifar, write_mnist
from dlcore.catalogue.datasets import Cifar10, Mnist, load
from dlcore.engine.conductor import Conductor
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["watched", "--against", "."],
            "two checkouts are not compared by watched; choose from start, steps, tick, race",
        ),
        (["tick", "--against", "nowhere"], "nowhere is no checkout that has the benchmark tick"),
    ],
)
def test_the_command_refuses_to_compare_what_cannot_be_compared(arguments, told):
    refused = subprocess.run([sys.executable, "-m", "benchmarks", *arguments], capture_output=True, text=True)
    assert (refused.returncode, told in refused.stderr) == (2, True)


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


@pytest.fixture
def two_threads(monkeypatch):
    """As on a machine where PyTorch takes two."""
    before = torch.get_num_threads()
    monkeypatch.setattr(steps, "TORCH_THREADS", 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_peer_is_measured_on_equal_threads_and_on_those_it_uses_by_default(two_threads, monkeypatch, capsys):
    took = {1: 0.5, 2: 0.125}
    used = []

    def peer(task):
        return lambda: used.append(torch.get_num_threads()) or took[used[-1]]

    monkeypatch.setattr(steps, "PEERS", {"peer": peer, "absent": None, "missing": None})
    monkeypatch.setattr(steps, "bare", lambda run, batch, steps: 0.25)
    monkeypatch.setattr(steps, "SECONDS", 1.0)  # so four steps of the bare loop
    monkeypatch.setattr(steps, "trained", lambda job, seconds: 0.25 * (1 + job.threads))
    for name, value in {"NAMES": ("simplenet",), "BATCHES": (64,), "ROUNDS": 3}.items():
        monkeypatch.setattr(steps, name, value)
    steps.run()
    printed = capsys.readouterr().out
    assert printed.startswith("Not installed, and left out: absent, missing.\n")
    assert sorted(used[1:]) == [1, 1, 1, 2, 2, 2]  # after the one that warms up
    own = Conductor().threads
    plural = "s" * (own > 1)
    assert against.figures(printed) == {
        "simplenet, 64: bare loop, ms": 250,
        "simplenet, 64: dlcore": 2,
        "simplenet, 64: peer": 0.5,
        "simplenet, 64: bare loop, 2 threads": 1,
        f"simplenet, 64: dlcore, {own} thread{plural}": 1 + own,
        "simplenet, 64: peer, 2 threads": 0.125,
    }


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


# Two checkouts, by turns


def test_figures_are_read_from_the_tables_that_a_benchmark_prints(capsys):
    print("About it.\n")
    print_table(["from the command to the Train page, s"], [[spread([7, 8, 9])]])
    print_table(["page", "first visit, s"], [])
    print_table(
        ["steps", "recipe", "ms", "kB"],
        [["1,000", "a", spread([1.0, 2.0, 3.0]), "9.9"], ["10", "b", spread([1e3, 2e3, 3e3]), "no room"]],
    )
    assert against.figures(capsys.readouterr().out) == {
        "from the command to the Train page, s": 8,
        "1,000, a: ms": 2,
        "1,000, a: kB": 9.9,
        "10, b: ms": 2000,
    }


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Makes one whose benchmark `tick` prints a figure for each of its turns, and notes it in a file that all share."""
    monkeypatch.setitem(against.TURNS, "tick", {"ROUNDS": 4})
    monkeypatch.setattr(against, "PAIRS", 3)

    def make(name, figures):
        folder = tmp_path / name / "benchmarks"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "tick.py").write_text(f"""
from pathlib import Path
ROUNDS = 60
def run():
    turns = Path({str(tmp_path / "turns")!r})
    before = turns.read_text().split() if turns.exists() else []
    turns.write_text(" ".join([*before, {name!r}]))
    figure = {figures!r}[before.count({name!r})]
    print("| steps | ms | rounds |\\n| --- | --- | --- |")
    print(f"| 10 | {{figure}} ({{figure}} to {{figure}}) | {{ROUNDS}} |")
""")
        return tmp_path / name

    return make


def test_two_checkouts_take_turns_each_in_a_process_of_its_own(checkout, tmp_path, capsys):
    here, there = checkout("here", [90, 1, 3, 2]), checkout("there", [70, 4, 6, 2])
    against.compare("tick", here, there)
    turns = (tmp_path / "turns").read_text().split()
    assert [set(turns[start : start + 2]) for start in range(0, 8, 2)] == [{"here", "there"}] * 4
    # The first turn of each is not counted; the pairs are 1/4, 3/6 and 2/2.
    table = """
|  | here | there | here over there |
| --- | --- | --- | --- |
| 10: ms | 2 (1.5 to 2.5) | 4 (3 to 5) | 0.5 (0.375 to 0.75) |
| 10: rounds | 4 (4 to 4) | 4 (4 to 4) | 1 (1 to 1) |
"""
    assert capsys.readouterr().out == table.lstrip()


def test_a_checkout_that_cannot_run_the_benchmark_is_told_by_its_error(checkout):
    here, there = checkout("here", [1]), checkout("there", [])
    with pytest.raises(RuntimeError, match=r"^tick failed in .*there: IndexError: list index out of range$"):
        against.compare("tick", here, there)


def test_checkouts_whose_tables_have_nothing_in_common_are_not_compared(checkout):
    here, there = checkout("here", [1]), checkout("there", [1])
    (there / "benchmarks" / "tick.py").write_text("def run():\n    print('nothing')")
    with pytest.raises(RuntimeError, match="no figure in common"):
        against.compare("tick", here, there)


@pytest.mark.parametrize("name", against.TURNS)
def test_what_a_turn_sets_is_a_setting_of_its_benchmark(name):
    assert vars(importlib.import_module(f"benchmarks.{name}")).keys() >= against.TURNS[name].keys()


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
