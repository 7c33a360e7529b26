"""A run becomes a checkpoint, and a checkpoint a run or a network again, bit for bit."""

from dataclasses import replace

import pytest
import torch

from dlcore.catalogue.architectures import CNN, MLP
from dlcore.catalogue.datasets import Mnist5k, load
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.engine.capture import capture, network, restore
from dlcore.engine.predicting import predict
from dlcore.engine.randomness import RandomState
from dlcore.engine.training import Place, build, train
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import CheckpointError
from dlcore.settings import choices
from tests.capturing import CLOCKS, RECIPE, same, taken, trained
from tests.running import changed


def test_a_checkpoint_is_a_copy_that_further_training_leaves_alone():
    run, state = trained()
    checkpoint, twin = (capture(run, state, 1, 1, **CLOCKS) for _ in range(2))
    for _ in zip(range(4), train(run, Place(1, 1)), strict=False):
        pass
    assert same(vars(checkpoint), vars(twin))
    assert not same(checkpoint.model, run.model.state_dict())
    assert not same(checkpoint.optimizer["state"], run.optimizer.state_dict()["state"])


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_what_trains_on_from_a_checkpoint_leaves_it_alone(kind):
    recipe = changed(RECIPE, optimizer=choices(Optimizer)[kind]())
    checkpoint, twin = taken(recipe), taken(recipe)
    run = build(recipe, load(recipe.data))
    restore(run, checkpoint)
    for _ in zip(range(4), train(run, Place(1, 1)), strict=False):
        pass
    assert same(vars(checkpoint), vars(twin))


def test_all_of_a_run_is_given_back():
    run, state = trained()
    checkpoint = capture(run, state, 1, 1, **CLOCKS)
    other = build(RECIPE, load(RECIPE.data))
    torch.rand(3)
    random_state, place = restore(other, checkpoint)
    assert place == Place(1, 1)
    assert same(other.model.state_dict(), run.model.state_dict())
    assert same(other.optimizer.state_dict(), run.optimizer.state_dict())
    assert same(random_state.states, state.states)


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_a_memory_that_is_laid_out_as_on_another_device_goes_on_the_same_to_the_bit(kind):
    """Fused steps go through weights and memory side by side, wherever these lie."""
    recipe = Recipe(model=CNN(channels=(3, 4), dense=4), optimizer=choices(Optimizer)[kind](), batch_size=8)
    before = taken(recipe, 3)
    plain = [
        {name: value.contiguous() if torch.is_tensor(value) else value for name, value in state.items()}
        for state in before.optimizer["state"].values()
    ]
    other = replace(before, optimizer=before.optimizer | {"state": dict(enumerate(plain))})
    ends = []
    for checkpoint in (before, other):
        run = build(recipe, load(recipe.data))
        random_state, _ = restore(run, checkpoint)
        random_state.restore()
        for _ in zip(range(2), train(run, Place(0, 3)), strict=False):
            pass
        ends.append(run.model.state_dict())
    assert same(*ends)


def test_settings_of_the_optimizer_follow_the_recipe_and_its_memory_the_checkpoint():
    checkpoint = taken()
    recipe = changed(RECIPE, optimizer=Adam(lr=0.5, beta1=0.5, weight_decay=0.25))
    run = build(recipe, load(recipe.data))
    restore(run, checkpoint)
    (group,) = run.optimizer.param_groups
    assert (group["betas"][0], group["weight_decay"]) == (0.5, 0.25)
    assert group["lr"] == 0.01  # of the last step, as an epoch's end tells; the next step sets its own
    assert same(run.optimizer.state_dict()["state"], checkpoint.optimizer["state"])


def test_another_optimizer_starts_with_no_memory():
    recipe = changed(RECIPE, optimizer=SGD())
    run = build(recipe, load(recipe.data))
    checkpoint = taken()
    restore(run, checkpoint)
    assert run.optimizer.state_dict()["state"] == {}
    assert run.optimizer.param_groups[0]["lr"] == SGD().lr
    assert same(run.model.state_dict(), checkpoint.model)


def test_another_seed_has_random_numbers_of_its_own():
    recipe, checkpoint = changed(RECIPE, seed=7), taken()
    run = build(recipe, load(recipe.data))
    expected = RandomState("cpu").states
    state, _ = restore(run, checkpoint)
    assert same(state.states, expected)


def test_a_checkpoint_answers_without_its_data():
    run, state = trained()
    asked = network(RECIPE, capture(run, state, 1, 1, **CLOCKS))
    raw = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict(asked, raw), predict(run, raw))


def test_a_checkpoint_of_pictures_answers_as_they_were_normalised():
    recipe = Recipe(model=MLP(widths=(8,)), batch_size=500, epochs=1)
    run, state = trained(recipe, 2)
    asked = network(recipe, capture(run, state, 0, 2, **CLOCKS))
    raw = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert torch.equal(predict(asked, raw), predict(run, raw))
    assert torch.equal(asked.data.mean, load(Mnist5k()).mean)


# What does not fit


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize("value", [torch.ones(7), torch.ones(1, 1), torch.ones(0), torch.ones(1, dtype=torch.float64)])
def test_what_raw_inputs_cannot_be_normalised_by_is_told(field, value):
    with pytest.raises(CheckpointError, match="it was not normalised as moons is"):
        network(RECIPE, replace(taken(), **{field: value}))


def test_an_optimizers_memory_that_does_not_fit_is_refused():
    checkpoint = taken()
    checkpoint.optimizer["param_groups"][0]["params"].append(99)
    with pytest.raises(CheckpointError, match="optimizer's memory does not fit"):
        restore(build(RECIPE, load(RECIPE.data)), checkpoint)
