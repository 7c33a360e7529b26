"""What a network gets wrong: counted by hand, and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix

from dlcore.catalogue.datasets import Circles, Mnist5k, Moons, load
from dlcore.catalogue.losses import Loss
from dlcore.catalogue.splits import Dataset, FiledSplit
from dlcore.engine.training import Run, build, score
from dlcore.inside import mistakes as module
from dlcore.inside.errors import LookError
from dlcore.inside.mistakes import between, mistakes, over_time, residuals, samples
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame
from dlcore.settings import choices
from tests.running import MOONS, changed, few_digits

DIGITS = Recipe()
LINE = RECIPES["linear-regression"].recipe


def made(recipe: Recipe = MOONS, **fields) -> Run:
    recipe = changed(recipe, **fields)
    return build(recipe, load(recipe.data))


def test_confusion_and_accuracies_are_those_that_are_counted():
    run = made(DIGITS)
    found, scores = mistakes(run), score(run, run.data.validation)
    targets = run.data.validation.targets.numpy()
    assert np.array_equal(found.predicted, scores.predicted)
    assert np.array_equal(found.confusion, confusion_matrix(targets, scores.predicted, labels=range(10)))
    for number, share in enumerate(found.accuracy):
        mine = targets == number
        assert share == pytest.approx(accuracy_score(targets[mine], scores.predicted[mine]))
    assert found.samples == len(targets)


@pytest.mark.parametrize("kind", choices(Loss))
def test_the_loss_of_each_sample_is_what_the_loss_makes_of_it_alone(kind):
    run = made(loss=choices(Loss)[kind]())
    found = mistakes(run)
    inputs, targets = run.data.validation[:]
    with torch.no_grad():
        alone = [
            run.recipe.loss.of(run.model(inputs[place : place + 1]), targets[place : place + 1]).item()
            for place in range(len(targets))
        ]
    assert found.loss == pytest.approx(np.array(alone), rel=1e-4, abs=1e-6)
    assert found.loss.mean() == pytest.approx(score(run, run.data.validation).loss, rel=1e-4)


def test_cells_hold_the_places_that_they_count_and_the_worst_are_wrong_and_in_order():
    found = mistakes(made(DIGITS))
    for target in range(10):
        for predicted in range(10):
            places = found.cell(target, predicted)
            assert len(places) == found.confusion[target, predicted]
            assert (found.targets[places] == target).all()
            assert (found.predicted[places] == predicted).all()
            assert (np.diff(found.loss[places]) <= 0).all()
    worst = found.worst(20)
    assert len(worst) == 20
    assert (found.targets[worst] != found.predicted[worst]).all()
    assert found.loss[worst[0]] == found.loss[found.targets != found.predicted].max()
    assert (np.diff(found.loss[worst]) <= 0).all()


def test_the_calibration_error_is_the_weighted_gap_between_the_bins_that_are_shown():
    found = mistakes(made(DIGITS)).calibration
    there = found.counts > 0
    assert found.counts.sum() == 500
    gaps = np.abs(found.accuracy - found.confidence)[there] * found.counts[there]
    assert found.error == pytest.approx(gaps.sum() / found.counts.sum(), rel=1e-4)
    assert (found.edges[:-1][there] <= found.confidence[there]).all()
    assert (found.confidence[there] <= found.edges[1:][there]).all()


def test_a_network_that_is_certain_falls_into_the_last_bin():
    run = made()
    with torch.no_grad():
        run.model[-1].weight.zero_()
        run.model[-1].bias.copy_(torch.tensor([-1000.0, 1000.0]))
    found = mistakes(run).calibration
    assert found.counts.tolist() == [0] * 14 + [len(run.data.validation)]
    assert found.error == pytest.approx(0.5, abs=1e-6)  # it says the second of two classes as common as each other


def test_regression_has_no_mistakes_but_errors():
    run = made(LINE)
    with pytest.raises(LookError, match="largest errors"):
        mistakes(run)
    with pytest.raises(LookError, match="largest errors"):
        over_time(run, [])
    found = residuals(run)
    inputs, targets = run.data.validation[:]
    with torch.no_grad():
        errors = (run.model(inputs) - targets) ** 2
    assert found.loss == pytest.approx(errors.flatten().numpy(), rel=1e-5)
    assert found.worst(1)[0] == int(errors.argmax())
    with pytest.raises(LookError, match="mistakes instead"):
        residuals(made())


def test_what_one_run_gets_right_and_the_other_wrong():
    one, other = mistakes(made()), mistakes(made(seed=1))
    mine, theirs = between(one, other)
    right, also = (each.targets == each.predicted for each in (one, other))
    assert set(mine) == {place for place in range(len(right)) if right[place] and not also[place]}
    assert set(theirs) == {place for place in range(len(right)) if also[place] and not right[place]}
    assert len(mine) + len(theirs) > 0
    assert (np.diff(other.loss[mine]) <= 0).all()


@pytest.mark.parametrize("data", [Moons(samples=200, split_seed=3), Circles(samples=200)])
def test_runs_on_other_samples_cannot_be_set_side_by_side(data):
    with pytest.raises(LookError, match="same data"):
        between(mistakes(made()), mistakes(made(data=data)))


def test_no_more_than_so_many_samples_are_looked_at(monkeypatch):
    monkeypatch.setattr(module, "MOST", 30)
    found = mistakes(made(DIGITS))
    assert (len(found.targets), found.confusion.sum(), found.samples) == (30, 30, 500)


def test_pictures_are_what_they_were_before_they_were_normalised():
    run, data = made(DIGITS), load(Mnist5k())
    found = samples(run, [3, 0])
    assert (found.shape, found.dtype) == ((2, 28, 28, 1), np.uint8)
    levels = (data.validation.inputs[[3, 0]] * data.std + data.mean) * 255
    assert np.abs(found[..., 0] - levels[:, 0].numpy()).max() <= 0.5 + 1e-3
    assert samples(run, []).shape == (0, 28, 28, 1)
    points = made()
    assert samples(points, [1]) == pytest.approx(points.data.validation.inputs[1:2].numpy())


def test_pictures_that_stay_in_their_file_are_read():
    data = few_digits()
    pixels = samples(Run(DIGITS, data, None, None), range(len(data.validation)))
    pictures = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    split = FiledSplit(pictures, torch.arange(len(pictures)), data.validation.targets, data.mean, data.std)
    filed = Dataset(data.train, split, split, data.mean, data.std)
    run, other = build(DIGITS, data), build(DIGITS, filed)
    assert np.array_equal(samples(other, [5, 7]), pixels[[5, 7]])
    assert np.array_equal(mistakes(run).predicted, mistakes(other).predicted)


def test_over_time_is_what_the_network_of_each_frame_knew():
    runs = {epoch: made(seed=epoch) for epoch in (1, 2)}
    frames = [Frame(epoch, epoch, run.model.state_dict(), {}) for epoch, run in runs.items()]
    found = over_time(made(), frames)
    for epoch, accuracy in found:
        assert accuracy == pytest.approx(mistakes(runs[epoch]).accuracy)
    assert [known.epoch for known in found] == [1, 2]


def test_a_class_without_samples_has_no_accuracy():
    data = few_digits()
    keep = data.validation.targets != 4
    split = type(data.validation)(data.validation.inputs[keep], data.validation.targets[keep])
    found = mistakes(build(DIGITS, Dataset(data.train, split, split, data.mean, data.std)))
    assert [number for number, share in enumerate(found.accuracy) if np.isnan(share)] == [4]
