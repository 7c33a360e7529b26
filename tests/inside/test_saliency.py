"""Saliency: each method against what it is by definition, on networks made by hand; every named recipe can be asked."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from dlcore.catalogue.architectures import CNN, MLP
from dlcore.catalogue.datasets import Mnist5k, Moons, load
from dlcore.catalogue.losses import BinaryCrossEntropy
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import build, train
from dlcore.inside.errors import LookError
from dlcore.inside.saliency import attribute, methods, saliency, untrained
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from tests.running import MOONS, changed, few_digits

DIGITS = Recipe(model=MLP(widths=(16,)), epochs=1)
CONVOLUTIONAL = Recipe(model=CNN(channels=(4, 8), dense=16), epochs=1)
BLACK = torch.zeros(1, 1, 28, 28)


@pytest.fixture(scope="module")
def digits():
    return few_digits()


def trained(recipe, data, steps=10):
    run = build(recipe, data)
    for _ in itertools.islice(train(run), steps):
        pass
    run.model.eval()
    return run


def logits(run, raw):
    return run.model((torch.as_tensor(raw)[None] - run.data.mean) / run.data.std)[0]


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "cifar-lenet"])
def test_every_named_recipe_can_be_asked_by_every_method_or_says_what_it_lacks(name):
    recipe = RECIPES[name].recipe
    run = build(recipe, load(recipe.data))
    shape = (28, 28) if len(recipe.shape) == 3 else recipe.shape
    for method in methods(recipe.inputs):
        if method == "grad-cam" and not any(isinstance(module, nn.Conv2d) for module in run.model.modules()):
            with pytest.raises(LookError, match="integrated gradients and occlusion can be had"):
                saliency(run, method, 0)
            continue
        found = saliency(run, method, 0)
        for one in (found.map, found.untrained):
            assert one.shape == shape
            assert one.dtype == np.float32
            assert np.isfinite(one).all()
        assert found.samples == len(run.data.validation)


def test_gradient_times_input_is_what_autograd_gives(digits):
    run = trained(DIGITS, digits)
    found = saliency(run, "gradient", 5, explain=7)
    raw = torch.from_numpy(found.raw).requires_grad_()
    logits(run, raw)[7].backward()
    assert found.map == pytest.approx((raw * raw.grad)[0].detach().numpy(), abs=1e-6)
    assert found.explained == 7
    assert found.target == digits.validation.targets[5]


@pytest.mark.parametrize("recipe", [DIGITS, CONVOLUTIONAL], ids=["dense", "convolutional"])
def test_integrated_gradients_add_up_to_what_the_output_gains_over_black(digits, recipe):
    run = trained(recipe, digits)
    raw = digits.validation[3:4][0] * digits.std + digits.mean
    answer = lambda raw: run.model((raw - digits.mean) / digits.std)[:, 3]  # noqa: E731
    found = attribute("integrated", answer, run.model, raw, BLACK, steps=512)
    with torch.no_grad():
        gained = answer(raw) - answer(BLACK)
    assert float(found.sum()) == pytest.approx(float(gained), abs=1e-3)
    few = saliency(run, "integrated", 3, explain=3)
    assert few.map.sum() == pytest.approx(float(gained), rel=0.02, abs=0.02)


def test_occlusion_finds_the_one_patch_that_a_linear_network_looks_at(digits):
    run = build(Recipe(model={"kind": "linear"}), digits)
    weights = torch.zeros(10, 28, 28)
    weights[4, 8:12, 16:20] = 1
    with torch.no_grad():
        run.model[-1].weight.copy_(weights.flatten(1))
    found = saliency(run, "occlusion", np.ones((1, 28, 28), np.float32), explain=4)
    patch = np.zeros((28, 28), bool)
    patch[8:12, 16:20] = True
    assert found.map[patch].min() > 0
    rows, columns = np.nonzero(found.map > 1e-6)
    assert 4 < rows.min() <= rows.max() < 15  # nothing beyond a window of 4 x 4 around it
    assert 12 < columns.min() <= columns.max() < 23
    assert patch[np.unravel_index(found.map.argmax(), found.map.shape)]


def test_grad_cam_is_the_maps_of_the_last_convolution_weighted_by_their_mean_gradients():
    convolution = nn.Conv2d(1, 2, 1, bias=False)
    convolution.weight.data = torch.tensor([[[[1.0]]], [[[2.0]]]])
    model = nn.Sequential(convolution, nn.Flatten(), nn.Linear(2 * 4, 1, bias=False))
    # The output is 3 x the first map's sum, less the second's: mean gradients 3 and -1 by position.
    model[2].weight.data = torch.tensor([[3.0] * 4 + [-1.0] * 4])
    raw = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    found = attribute("grad-cam", lambda raw: model(raw)[:, 0], model, raw, torch.zeros_like(raw))
    assert found == pytest.approx((3 * 1 - 1 * 2) * raw[0, 0])


def test_a_drawing_is_explained_as_a_sample_is(digits):
    run = trained(DIGITS, digits)
    sample = saliency(run, "gradient", 2)
    drawing = saliency(run, "gradient", sample.raw)
    assert drawing.map == pytest.approx(sample.map, abs=1e-6)
    assert drawing.target is None
    assert drawing.explained == sample.explained == sample.answers.argmax()


def test_of_one_output_for_two_classes_what_speaks_for_one_speaks_against_the_other():
    run = build(changed(MOONS, loss=BinaryCrossEntropy()), load(MOONS.data))
    first, second = (saliency(run, "gradient", 0, explain=place).map for place in (0, 1))
    assert np.abs(first).max() > 0
    assert first == pytest.approx(-second)


def test_random_weights_are_drawn_as_first_weights_are_and_hang_on_the_seed_alone(digits):
    run = trained(CONVOLUTIONAL, digits)
    before = torch.get_rng_state()
    one, same, other = (untrained(run.model, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    for layer, again, another in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(layer, again)
        assert not torch.equal(layer, another)
    fresh = build(CONVOLUTIONAL, digits).model
    for mine, theirs in zip(one.state_dict().values(), fresh.state_dict().values(), strict=True):
        if mine.numel() > 200:
            assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.15)
            assert float(mine.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.1)


def test_maps_of_one_network_with_itself_are_alike_and_of_unlike_weights_less_so(digits, monkeypatch):
    run = trained(DIGITS, digits, 40)
    assert saliency(run, "gradient", 0).alike < 0.9
    monkeypatch.setattr("dlcore.inside.saliency.untrained", lambda model, seed: model)
    assert saliency(run, "gradient", 0).alike == pytest.approx(1)


@pytest.mark.parametrize(
    ("method", "of", "explain", "told"),
    [
        ("grad-cam", 0, None, "convolution"),
        ("gradient", 100, None, "0 to 99"),
        ("gradient", -1, None, "0 to 99"),
        ("gradient", 0, 10, "0 to 9"),
        ("gradient", np.zeros((3, 32, 32), np.float32), None, "1 × 28 × 28"),
    ],
)
def test_what_cannot_be_seen_is_told_in_a_sentence(digits, method, of, explain, told):
    with pytest.raises(LookError, match=told):
        saliency(build(DIGITS, digits), method, of, explain)


def test_what_is_no_picture_has_no_grad_cam():
    with pytest.raises(LookError, match="Gradient × input, Integrated gradients, Occlusion"):
        saliency(build(MOONS, load(MOONS.data)), "grad-cam", 0)


@pytest.mark.parametrize("recipe", [MOONS, changed(CONVOLUTIONAL, data=Mnist5k())], ids=["moons", "digits"])
def test_a_run_that_is_looked_at_after_every_step_ends_as_one_that_is_not(recipe, digits):
    data = load(recipe.data) if isinstance(recipe.data, Moons) else digits
    ends = []
    for looks in (False, True):
        trainer = Trainer(recipe)
        trainer.begin(data)
        with trainer.own_random():
            while not trainer.over:
                trainer.advance()
                for method in methods(recipe.inputs) if looks else ():
                    trainer.answer(lambda run, method=method: saliency(run, method, 1), gradients=True)
        hooks = [module._forward_hooks or module._backward_hooks for module in trainer.run.model.modules()]
        assert not any(hooks)
        ends.append([value.numpy().tobytes() for value in trainer.run.model.state_dict().values()])
    assert ends[0] == ends[1]
