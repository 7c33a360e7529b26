"""How well each layer learns: against an independent computation, and planted faults that show."""

import copy
import math

import pytest
import torch
from torch import nn

from dlcore.catalogue.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from dlcore.catalogue.architectures import CNN, MLP, Architecture, Recurrent, layers, size
from dlcore.catalogue.datasets import Mnist5k, Moons, load
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import EpochEnd, Run, Step, build
from dlcore.inside import layers as module
from dlcore.inside.layers import FEWEST, MOST, health, next_step, over_time, samples
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame
from dlcore.settings import choices
from tests.running import DROPPING, MOONS, changed, few_digits, measured

NAMED = {name: named.recipe for name, named in RECIPES.items() if name != "cifar-lenet"}


def begun(recipe: Recipe, steps: int = 0) -> Trainer:
    trainer = Trainer(recipe)
    trainer.begin(load(recipe.data))
    advance(trainer, steps)
    return trainer


def advance(trainer: Trainer, steps: int) -> None:
    with trainer.own_random():
        while steps:
            steps -= isinstance(trainer.advance(), Step)


def mlp(activation=None, **more) -> Run:
    data = Moons(samples=200)
    return build(Recipe(data=data, model=MLP(widths=(8, 6), activation=activation or ReLU(), **more)), load(data))


# What is measured


@pytest.mark.parametrize("name", NAMED)
def test_every_layer_with_parameters_is_told_in_order(name):
    recipe = NAMED[name]
    found = begun(recipe).answer(health, gradients=True)
    made_of = recipe.model, recipe.inputs, recipe.outputs
    expected = [(layer.output, layer.parameters) for layer in layers(*made_of) if layer.parameters]
    assert [(layer.output, layer.parameters) for layer in found] == expected
    assert sum(layer.parameters for layer in found) == size(*made_of)
    assert found[-1].name == "output"
    for layer in found:
        assert layer.weight_norm > 0
        assert layer.gradient_norm > 0
        assert 0 <= layer.dead <= 1
        assert len(layer.dead_units) == round(layer.dead * layer.output[0 if len(layer.output) == 3 else -1])


@pytest.mark.parametrize("kind", choices(Architecture))
def test_every_architecture_can_be_asked(kind, monkeypatch):
    monkeypatch.setattr(module, "samples", lambda *network: 4)  # enough to be asked
    data = few_digits()
    run = build(Recipe(data=Mnist5k(), model=choices(Architecture)[kind]()), data)
    found = health(run, next_step(run))
    assert sum(layer.parameters for layer in found) == sum(one.numel() for one in run.model.parameters())
    assert len({layer.path for layer in found}) == len({layer.name for layer in found}) == len(found)


def test_layers_are_called_as_a_person_calls_them():
    data = load(Mnist5k())
    names = lambda model: [layer.name for layer in health(build(Recipe(model=model), data))]  # noqa: E731
    assert names(CNN(channels=(2, 3), dense=4)) == ["conv 1", "conv 2", "dense", "output"]
    assert names(MLP(widths=(4, 3), batch_norm=True)) == ["dense 1", "norm 1", "dense 2", "norm 2", "output"]
    assert names(Recurrent(cell="gru", hidden=4)) == ["gru", "output"]


def test_norms_are_those_of_weights_and_of_the_gradient_that_backward_finds():
    run = mlp()
    found = health(run)
    inputs, targets = run.data.train[:MOST]
    run.recipe.loss.of(run.model(inputs), targets).backward()
    for layer in found:
        own = list(run.model.get_submodule(layer.path).parameters())
        assert layer.weight_norm == pytest.approx(math.sqrt(sum((one**2).sum().item() for one in own)))
        assert layer.gradient_norm == pytest.approx(math.sqrt(sum((one.grad**2).sum().item() for one in own)))
        assert layer.update_ratio is None


def test_the_update_ratio_is_what_a_step_changed_over_the_weights():
    trainer = begun(MOONS, 5)
    before = copy.deepcopy(trainer.run.model)
    advance(trainer, 1)
    pairs = zip(trainer.run.model.named_parameters(), before.parameters(), strict=True)
    moved = {name: float((after - old).detach().norm()) for (name, after), old in pairs}
    for layer in trainer.answer(lambda run: health(run, moved), gradients=True):
        after, old = (
            nn.utils.parameters_to_vector(model.get_submodule(layer.path).parameters()).detach()
            for model in (trainer.run.model, before)
        )
        assert layer.update_ratio == pytest.approx(float((after - old).norm() / after.norm()), rel=1e-4)


def test_the_next_step_is_foreseen_where_nothing_is_random():
    """Batches of all samples, no dropout: what the copy does is what the run does next."""
    trainer = begun(changed(MOONS, batch_size="all", epochs=9), 3)
    foreseen = trainer.answer(next_step, gradients=True)
    before = copy.deepcopy(trainer.run.model)
    advance(trainer, 1)
    pairs = zip(trainer.run.model.named_parameters(), before.parameters(), strict=True)
    assert foreseen == pytest.approx({name: float((new - old).detach().norm()) for (name, new), old in pairs}, rel=1e-4)


def test_a_network_too_large_to_be_copied_in_passing_has_no_update_ratio():
    run = build(Recipe(model=MLP(widths=(2600,))), load(Mnist5k()))
    assert next_step(run) is None
    assert {layer.update_ratio for layer in health(run, next_step(run))} == {None}


def test_fewer_samples_are_shown_the_more_work_each_is():
    counts = [samples(recipe.model, recipe.inputs, recipe.outputs) for recipe in NAMED.values()]
    assert all(FEWEST <= count <= MOST for count in counts)
    assert {FEWEST, MOST} <= set(counts)


def test_a_network_without_gradients_says_what_is_missing():
    with torch.inference_mode(), pytest.raises(RuntimeError, match="with gradients"):
        health(mlp())


# Planted faults


@pytest.mark.parametrize("activation", [ReLU(), Tanh(), Sigmoid(), LeakyReLU()], ids=lambda one: one.kind)
def test_a_silenced_unit_is_the_one_called_dead(activation):
    run = mlp(activation)
    with torch.no_grad():
        for parameter in run.model[0].parameters():  # the rest may not be dead by chance
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))
        run.model[0].weight[5] = run.model[0].bias[5] = 0
    first, *rest = health(run)
    assert (first.dead_units, first.dead) == ((5,), 1 / 8)
    assert 5 not in rest[0].dead_units or rest[0].name != "dense 2"


def test_a_unit_that_a_hook_silences_is_called_dead():
    run = mlp(Tanh())
    with torch.no_grad():
        run.model[3].weight[:, 0] *= 1  # an untouched network has no dead unit
    assert health(run)[1].dead_units == ()
    mask = torch.tensor([1.0, 1, 0, 1, 1, 1])
    hook = run.model[4].register_forward_hook(lambda _, inputs, output: output * mask)
    assert health(run)[1].dead_units == (2,)
    hook.remove()


def test_a_silenced_channel_is_the_one_called_dead():
    run = build(Recipe(model=CNN(channels=(4, 8), dense=16)), few_digits())
    with torch.no_grad():
        run.model[0].bias[2] = -100
        run.model[0].weight[:2] = run.model[0].weight[:2].abs()
        run.model[0].weight[3] = run.model[0].weight[3].abs()
    (first, *_) = health(run)
    assert (first.dead_units, first.dead) == ((2,), 1 / 4)


def test_a_layer_whose_gradient_was_cut_has_norm_0():
    run = mlp()
    for parameter in run.model[3].parameters():
        parameter.requires_grad = False
    assert [layer.gradient_norm > 0 for layer in health(run)] == [True, False, True]
    run = mlp()
    run.model[1].register_forward_hook(lambda _, inputs, output: output.detach())
    first, *rest = health(run)
    assert first.gradient_norm == 0
    assert all(layer.gradient_norm > 0 for layer in rest)


@pytest.mark.parametrize(("activation", "expected"), [(Tanh(), 1 / 8), (Sigmoid(), 1 / 8), (ReLU(), None)])
def test_a_unit_that_is_pushed_to_its_end_is_saturated(activation, expected):
    run = mlp(activation)
    with torch.no_grad():
        run.model[0].weight.mul_(0.01)
        run.model[0].bias.zero_()
        run.model[0].bias[3] = -6
    first, _, last = health(run)
    assert first.saturated == (None if expected is None else pytest.approx(expected))
    assert last.saturated is None


def test_a_single_sample_tells_of_no_dead_unit():
    run = mlp()
    one = run.data.train.first(1)
    run.data = type(run.data)(one, one, one, run.data.mean, run.data.std)
    assert {layer.dead for layer in health(run)} == {None}


# Over a film


def test_over_time_is_what_was_there_after_each_epoch():
    trainer, frames, then = begun(MOONS), [], []
    with trainer.own_random():
        while (event := trainer.advance()) is not None:
            if isinstance(event, EpochEnd):
                weights = {name: value.clone() for name, value in trainer.run.model.state_dict().items()}
                moved = dict.fromkeys(dict(trainer.run.model.named_parameters()), 0.5 / event.epoch)
                frames.append(Frame(event.epoch, trainer.history.steps, weights, moved))
                then.append(trainer.answer(lambda run, moved=moved: health(run, moved), gradients=True))
    found = over_time(trainer.run, frames)
    assert [moment.epoch for moment in found] == [1, 2, 3]
    assert [moment.layers for moment in found] == then
    assert [layer.update_ratio * layer.weight_norm for layer in then[1]] == pytest.approx([0.25 * math.sqrt(2)] * 2)


# No trace


def fingerprint(recipe: Recipe, look) -> tuple:
    trainer = begun(recipe)
    with trainer.own_random():
        while trainer.advance() is not None:
            look(trainer)
    return *measured(trainer.history), [value.numpy().tobytes() for value in trainer.run.model.state_dict().values()]


def test_looking_changes_nothing_bit_for_bit():
    def look(trainer):
        trainer.answer(lambda run: health(run, next_step(run)), gradients=True)
        weights = {name: value.clone() for name, value in trainer.run.model.state_dict().items()}
        trainer.answer(lambda run: over_time(run, [Frame(1, 1, weights, {})]), gradients=True)

    assert fingerprint(DROPPING, look) == fingerprint(DROPPING, lambda trainer: None)


def test_hooks_are_gone_afterwards_even_if_a_network_cannot_answer():
    run = mlp()
    health(run)
    run.model[6] = nn.Linear(3, 2)
    with pytest.raises(RuntimeError):
        health(run)
    assert not any(module._forward_hooks for module in run.model.modules())
