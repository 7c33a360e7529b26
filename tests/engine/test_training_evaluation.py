"""Evaluation: the scores of a whole split, and nothing changed by it."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score

from dlcore.catalogue.architectures import MLP, Linear
from dlcore.catalogue.datasets import Line, PassFail, Sine
from dlcore.catalogue.losses import CrossEntropy, Loss, MeanSquaredError
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.splits import Split
from dlcore.catalogue.tasks import task_of
from dlcore.engine import training
from dlcore.engine.training import Step, score, train
from dlcore.recipe import Recipe
from dlcore.settings import choices
from tests.engine.looping import MOONS, same, start, weights
from tests.running import changed


@pytest.mark.parametrize("size", [1, 7, 40, 512])
@pytest.mark.parametrize("kind", choices(Loss))
def test_evaluation_is_the_mean_over_the_whole_split_however_it_is_cut(monkeypatch, kind, size):
    monkeypatch.setattr(training, "EVALUATION_BATCH", size)
    run = start(changed(MOONS, loss=choices(Loss)[kind]()))
    split = run.data.validation
    with torch.no_grad():
        outputs = run.model.eval()(split.inputs)
        loss = run.recipe.loss.of(outputs, split.targets).item()
    found = score(run, split)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    classes = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
    assert found.predicted.tolist() == classes.tolist()
    assert found.accuracy == accuracy_score(split.targets, classes)


def test_regression_is_scored_by_its_values_without_accuracy():
    run = start(Recipe(data=Sine(), model=MLP(widths=(4,)), loss=MeanSquaredError()))
    found, split = score(run, run.data.validation), run.data.validation
    assert found.accuracy is None
    assert found.predicted.shape == (100, 1)
    assert found.loss == pytest.approx(np.mean((found.predicted - split.targets.numpy()) ** 2), rel=1e-5)


@pytest.mark.parametrize(("batch", "measured"), [(16, 40), (40, 40), (64, 64), (256, 120)])
def test_an_epoch_ends_with_the_scores_of_the_validation_split_and_of_a_like_number_of_training_samples(
    monkeypatch, batch, measured
):
    """40 samples validate, of 120 that are trained on: as many are measured, at least a batch, and few are whole."""
    monkeypatch.setattr(training, "EVALUATION_BATCH", batch)
    run = start(changed(MOONS, epochs=1))
    *_, end = train(run)
    sample = Split(run.data.train.inputs[:measured], run.data.train.targets[:measured])
    for found, split in ((end.train, sample), (end.validation, run.data.validation)):
        expected = score(run, split)
        assert (found.loss, found.accuracy) == (expected.loss, expected.accuracy)
        assert np.array_equal(found.predicted, expected.predicted)


@pytest.mark.parametrize("data", [Line(), PassFail()])
def test_the_training_curve_of_four_points_measures_all_four(data):
    loss = CrossEntropy() if task_of(data.spec()).classes else MeanSquaredError()
    run = start(Recipe(data=data, model=Linear(), loss=loss, optimizer=SGD(lr=0.1), epochs=1, batch_size=2))
    *_, end = train(run)
    x = np.array([1.0, 2, 3, 4])
    w, b = (value.detach().numpy().reshape(-1) for value in run.model.parameters())
    if task_of(data.spec()).classes:
        right = (w[1] * x + b[1] > w[0] * x + b[0]) == (x > 2.5)
        assert len(end.train.predicted) == 4
        assert end.train.accuracy == right.mean()
    else:
        assert end.train.loss == pytest.approx(np.mean((w * x + b - 2 * x) ** 2), rel=1e-5)


def test_evaluation_leaves_weights_batch_statistics_and_random_state_alone():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5, batch_norm=True)))
    next(train(run))
    before, state = weights(run.model), torch.get_rng_state()
    first = score(run, run.data.validation)
    assert same(weights(run.model), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert score(run, run.data.validation).loss == first.loss  # dropout is off


def test_dropout_is_on_again_for_the_step_after_an_evaluation():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    for event in train(run):
        assert run.model.training == isinstance(event, Step)
