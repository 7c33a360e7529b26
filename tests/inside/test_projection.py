"""Projection: a layer's activations are its own, clusters stay clusters, and points wander instead of jumping."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from dlcore.catalogue.architectures import CNN, MLP, skeleton
from dlcore.catalogue.datasets import load
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import build
from dlcore.inside.errors import LookError
from dlcore.inside.projection import SAMPLES, UNITS, Axes, activations, along, called, fit, layers, placed
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from tests.running import DROPPING, MOONS, few_digits

NAMED = [name for name in RECIPES if name not in ("cifar-lenet", "linear-regression", "logistic-regression")]


@pytest.fixture(scope="module")
def clusters():
    """Values (240, 30) of six clusters, and which each belongs to."""
    draws = np.random.default_rng(0)
    centres, of = draws.normal(size=(6, 30)) * 3, np.arange(240) % 6
    return (centres[of] + draws.normal(size=(240, 30))).astype(np.float32), of


@pytest.fixture(scope="module")
def laid_out(clusters):
    return placed(clusters[0])


def neighbours_agree(points, of):
    return KNeighborsClassifier(5).fit(points[:120], of[:120]).score(points[120:], of[120:])


@pytest.mark.parametrize("name", NAMED)
def test_every_layer_of_every_named_recipe_gives_a_point_a_sample(name):
    recipe = RECIPES[name].recipe
    run = build(recipe, load(recipe.data))
    count = min(SAMPLES, len(run.data.validation))
    for layer in layers(run.model):
        found = activations(run, layer)
        assert found.values.shape[0] == len(found.targets) == len(found.wrong) == count
        assert 1 <= found.values.shape[1] <= UNITS
        points, shares = along(found.values, fit(found.values))
        assert points.shape == (count, 3)
        assert shares.sum() <= 1.001


def test_activations_are_what_the_layer_says(clusters):
    data = few_digits()
    run = build(Recipe(model=MLP(widths=(16, 8))), data)
    run.model.eval()
    found = activations(run)
    assert found.layer == layers(run.model)[-2]
    with torch.no_grad():
        assert found.values == pytest.approx(run.model[:-2](data.validation.inputs).numpy(), abs=1e-5)
        assert (found.wrong == (run.model(data.validation.inputs).argmax(1) != data.validation.targets).numpy()).all()
    assert (found.targets == data.validation.targets.numpy()).all()


def test_layers_have_the_names_that_a_person_gives_them():
    def words(model) -> list[str]:
        return list(called(model).values())

    assert words(build(Recipe(model=MLP(widths=(16, 8))), few_digits()).model) == [
        "dense 1", "ReLU after dense 1", "dense 2", "ReLU after dense 2", "output"
    ]  # fmt: skip
    for name in NAMED:
        recipe = RECIPES[name].recipe
        model = skeleton(recipe.model, recipe.inputs, recipe.outputs)
        assert list(called(model)) == layers(model)
        assert words(model)[-1] == "output"
        assert len(set(words(model))) == len(words(model))


def test_maps_are_averaged_over_a_small_grid():
    data = few_digits()
    run = build(Recipe(model=CNN(channels=(3,), dense=8)), data)
    run.model.eval()
    with torch.no_grad():
        maps = run.model[0](data.validation.inputs)  # (100, 3, 28, 28)
    expected = maps.unfold(2, 7, 7).unfold(3, 7, 7).mean((-1, -2)).flatten(1)
    assert activations(run, "0").values == pytest.approx(expected.numpy(), abs=1e-5)


class Twice(nn.Module):
    """Uses one of its layers two times."""

    def __init__(self):
        super().__init__()
        self.bend, self.dense = nn.Tanh(), nn.Linear(2, 2)

    def forward(self, inputs):
        return self.bend(self.dense(self.bend(inputs)))


def test_a_layer_that_is_used_twice_gives_what_it_says_last():
    run = build(MOONS, load(MOONS.data))
    run.model = Twice()
    with torch.no_grad():
        expected = run.model(run.data.validation.inputs)
    assert activations(run, "bend").values == pytest.approx(expected.numpy(), abs=1e-6)


def test_pca_agrees_with_an_exact_one_and_its_axes_can_be_kept(clusters):
    values, _ = clusters
    axes = fit(values)
    points, shares = along(values, axes)
    exact = PCA(3, svd_solver="full").fit(values)
    assert shares == pytest.approx(exact.explained_variance_ratio_, rel=1e-3)
    assert np.abs(points) == pytest.approx(np.abs(exact.transform(values)), abs=0.05)
    moved, _ = along(values + 0.01, axes)
    assert np.abs(moved - points).max() < 0.2


def test_a_layer_of_one_unit_has_one_axis():
    axes = fit(np.arange(5, dtype=np.float32)[:, None])
    assert isinstance(axes, Axes)
    points, shares = along(np.arange(5, dtype=np.float32)[:, None], axes)
    assert np.abs(points[:, 0]).tolist() == [2, 1, 0, 1, 2]
    assert not points[:, 1:].any()
    assert shares.tolist() == [1, 0, 0]


def test_neighbours_stay_neighbours(clusters, laid_out):
    values, of = clusters
    assert laid_out.shape == (240, 2)
    assert neighbours_agree(laid_out, of) > 0.95
    assert neighbours_agree(along(values, fit(values))[0], of) > 0.8


def test_t_sne_in_three_dimensions_keeps_neighbours_too(clusters):
    points = placed(clusters[0], dimensions=3)
    assert points.shape == (240, 3)
    assert neighbours_agree(points, clusters[1]) > 0.95


def test_the_same_activations_give_the_same_map(clusters, laid_out):
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - it is to stay
    assert placed(clusters[0]).tobytes() == laid_out.tobytes()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_points_wander_as_far_as_activations_do_and_do_not_jump(clusters, laid_out):
    values, of = clusters
    noise = np.random.default_rng(1).normal(size=values.shape).astype(np.float32)
    size = np.linalg.norm(laid_out - laid_out.mean(0), axis=1).mean()
    followed = placed(values + 0.02 * noise, laid_out)
    moved = np.linalg.norm(followed - laid_out, axis=1)
    assert moved.mean() < 0.1 * size
    assert neighbours_agree(followed, of) > 0.95


def test_a_sample_that_changes_cluster_is_followed(clusters, laid_out):
    values, of = clusters
    values = values.copy()
    values[0] = values[1] + 0.1
    points = laid_out
    for _ in range(20):
        points = placed(values, points)
    near = np.linalg.norm(points[0] - points, axis=1).argsort()[1:6]
    assert (of[near] == of[1]).mean() > 0.5


@pytest.mark.parametrize("layer", ["9", "", "0.0"])
def test_a_layer_that_is_not_there_is_told_with_those_that_are(layer):
    with pytest.raises(LookError, match="there are 0, 1, 3"):
        activations(build(MOONS, load(MOONS.data)), layer)


@pytest.mark.parametrize("name", ["linear-regression", "logistic-regression"])
def test_a_handful_of_samples_makes_no_map(name):
    recipe = RECIPES[name].recipe
    with pytest.raises(LookError, match="needs 4 validation samples"):
        activations(build(recipe, load(recipe.data)))


def test_a_run_that_diverged_makes_no_map():
    run = build(MOONS, load(MOONS.data))
    with torch.no_grad():
        run.model[0].weight.fill_(float("nan"))
    with pytest.raises(LookError, match="diverged"):
        activations(run)


def test_values_are_known_by_the_first_of_them_and_none_is_wrong():
    recipe = RECIPES["linear-regression"].recipe
    recipe = change(recipe, {"data": {"kind": "sine"}, "model": {"kind": "mlp"}})
    data = load(recipe.data)
    found = activations(build(recipe, data))
    assert found.targets == pytest.approx(data.validation.targets[:, 0].numpy())
    assert not found.wrong.any()
    assert found.classes == ()


def test_a_run_that_is_looked_at_after_every_step_ends_as_one_that_is_not():
    ends = []
    for looks in (False, True):
        trainer = Trainer(DROPPING)
        trainer.begin(load(DROPPING.data))
        with trainer.own_random():
            while not trainer.over:
                trainer.advance()
                if looks:
                    trainer.answer(activations)
        assert not any(module._forward_hooks for module in trainer.run.model.modules())
        ends.append([value.numpy().tobytes() for value in trainer.run.model.state_dict().values()])
    assert ends[0] == ends[1]
