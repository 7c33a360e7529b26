"""Batches: every sample once an epoch, in an order of its own, from any place on."""

from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.pictures import write_mnist
from dlcore.catalogue import splits
from dlcore.catalogue.architectures import CNN, MLP
from dlcore.catalogue.datasets import Mnist
from dlcore.catalogue.schedules import Cosine
from dlcore.catalogue.splits import FiledSplit, Split
from dlcore.engine import training
from dlcore.engine.training import EpochEnd, Evaluating, Place, Step, build, train
from dlcore.recipe import Recipe
from tests.engine.looping import MOONS, STEPS, same, start
from tests.running import changed


def test_every_sample_comes_once_an_epoch_and_the_last_batch_is_what_is_left():
    run = start()
    inputs, targets = zip(*training.batches(run, 1), strict=True)
    assert [len(batch) for batch in inputs] == [32, 32, 32, 24]
    assert Counter(map(tuple, torch.cat(inputs).tolist())) == Counter(map(tuple, run.data.train.inputs.tolist()))
    pairs = dict(zip(map(tuple, run.data.train.inputs.tolist()), run.data.train.targets.tolist(), strict=True))
    assert [pairs[tuple(row)] for row in torch.cat(inputs).tolist()] == torch.cat(targets).tolist()


@pytest.mark.parametrize("size", [1, 7, 32, 119, 120, 500, "all"])
def test_batches_after_some_are_those_of_the_whole_epoch(size):
    """To the place in memory: rounding can hang on how a batch lies there."""
    run = start(changed(MOONS, batch_size=size))
    whole = list(training.batches(run, 2))
    assert len(whole) == run.steps_per_epoch
    for skip in {0, 1, 2, 31, 32, 33, 64, len(whole) - 1, len(whole)}:
        if skip <= len(whole):
            found = list(training.batches(run, 2, skip))
            assert len(found) == len(whole) - skip
            for one, other in zip(found, whole[skip:], strict=True):
                assert same(one, other)
                assert [part.storage_offset() for part in one] == [part.storage_offset() for part in other]


@pytest.mark.parametrize("size", [16, "all"])
def test_a_run_whose_pictures_stay_in_their_file_is_the_same_to_the_bit(size, tmp_path, monkeypatch):
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    write_mnist(tmp_path, 1500)
    recipe = Recipe(data=Mnist(), model=CNN(channels=(2,), dense=4, dropout=0.5), batch_size=size, epochs=2)
    found = []
    for most in (2**30, 0):
        monkeypatch.setattr(splits, "RESIDENT", most)
        data = Mnist().load(lambda share: None)
        assert isinstance(data.train, Split if most else FiledSplit)
        found.append([event for event in train(build(recipe, data)) if not isinstance(event, Evaluating)])
    assert len(found[0]) == 2 * (1 if size == "all" else 85) + 2
    for one, other in zip(*found, strict=True):
        if isinstance(one, Step):
            assert one == other
        else:
            for mine, yours in zip(one[1:3], other[1:3], strict=True):
                assert (mine.loss, mine.predicted.tolist()) == (yours.loss, yours.predicted.tolist())


@pytest.mark.parametrize(("epochs", "steps"), [(0, 0), (0, 1), (0, 4), (1, 0), (2, 3), (2, 4), (3, 0)])
def test_a_run_can_start_at_any_place(epochs, steps):
    """A place of four steps is one before the evaluation, which is still to come."""
    events = list(train(start(), Place(epochs, steps)))
    kinds = [type(event) for event in events]
    rest = [Step] * (STEPS - steps) + [Evaluating] * 2 + [EpochEnd] if epochs < 3 else []
    assert kinds == rest + ([Step] * STEPS + [Evaluating] * 2 + [EpochEnd]) * max(0, 2 - epochs)
    assert all(event.epoch == epochs + 1 for event in events[: len(rest)] if not isinstance(event, Evaluating))


def test_a_run_that_starts_late_has_the_learning_rate_of_its_place():
    recipe = changed(MOONS, schedule=Cosine())
    run = start(recipe)
    rates = [run.optimizer.param_groups[0]["lr"] for event in train(run, Place(1, 2)) if isinstance(event, Step)]
    assert rates == pytest.approx([0.1 * (1 + np.cos(np.pi * step / 12)) / 2 for step in range(6, 12)])


def test_small_batches_that_span_several_blocks_lose_no_sample():
    run = start(changed(MOONS, batch_size=1))
    found = [batch for batch, _ in training.batches(run, 1)]
    assert len(found) == 120
    assert {tuple(row) for row in torch.cat(found).tolist()} == {tuple(row) for row in run.data.train.inputs.tolist()}


def test_the_order_changes_from_epoch_to_epoch_and_with_the_seed_alone():
    def order(recipe, epoch):
        torch.rand(3)  # whatever else is drawn
        return torch.cat([inputs for inputs, _ in training.batches(start(recipe), epoch)])

    assert torch.equal(order(MOONS, 1), order(changed(MOONS, model=MLP(widths=(3,), dropout=0.5)), 1))
    assert not torch.equal(order(MOONS, 1), order(MOONS, 2))
    assert not torch.equal(order(MOONS, 1), order(changed(MOONS, seed=1), 1))


@pytest.mark.parametrize("size", ["all", 120, 1000])
def test_one_batch_of_all_samples_is_plain_gradient_descent(size):
    run = start(changed(MOONS, batch_size=size))
    assert run.steps_per_epoch == 1
    ((inputs, targets),) = training.batches(run, 1)
    assert torch.equal(inputs, run.data.train.inputs)
    assert torch.equal(targets, run.data.train.targets)
    assert [type(event) for event in train(run)] == [Step, Evaluating, Evaluating, EpochEnd] * 3
