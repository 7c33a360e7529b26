"""Blame: influence is what autograd gives by hand, and samples that were given a wrong label are found by it."""

import numpy as np
import pytest
import torch
from torch import nn

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Mnist5k, load
from dlcore.catalogue.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.schedules import Exponential
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import build
from dlcore.inside.blame import FRAMES, SAMPLES, blame, chosen, rate, self_influence
from dlcore.inside.errors import LookError
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame
from tests.running import MOONS, changed

STRANGE, TAKEN_FOR = 3, 8  # a class, and what a tenth of its samples were labelled as


def filmed(recipe, data):
    """A run that is over, its history, and the frames after each epoch."""
    trainer, film = Trainer(recipe), []
    trainer.begin(data)
    with trainer.own_random():
        while not trainer.over:
            before = len(trainer.history.epochs)
            trainer.advance()
            if len(trainer.history.epochs) > before:
                weights = {name: value.clone() for name, value in trainer.run.model.state_dict().items()}
                film.append(Frame(len(trainer.history.epochs), trainer.history.steps, weights, {}))
    trainer.run.model.eval()
    return trainer.run, trainer.history, film


@pytest.fixture(scope="module")
def moons():
    recipe = changed(MOONS, epochs=3, optimizer=SGD(lr=0.1), schedule=Exponential(gamma=0.5))
    return filmed(recipe, load(recipe.data))


@pytest.fixture(scope="module")
def mislabelled():
    """Digits of which a class has a wrong label in a tenth of the cases: the run, history, film, and which they are."""
    recipe = Recipe(data=Mnist5k(), model=MLP(widths=(32,)), epochs=4, batch_size=32)
    full = load(recipe.data)
    inputs, targets = full.train[:1500]
    mine = torch.nonzero(targets == STRANGE).flatten()
    planted = mine[::10]
    targets = targets.clone()
    targets[planted] = TAKEN_FOR
    train, validation = Split(inputs, targets), Split(*full.validation[:300])
    data = Dataset(train, validation, validation, full.mean, full.std)
    return *filmed(recipe, data), planted.numpy()


def by_hand(run, history, film, index):
    """The same, a sample after the other, by autograd through the last layer."""
    last = [module for module in run.model.modules() if isinstance(module, nn.Linear)][-1]

    def gradient(inputs, targets):
        found = torch.autograd.grad(run.recipe.loss.of(run.model(inputs), targets), list(last.parameters()))
        return torch.cat([one.flatten() for one in found])

    train, influence = run.data.train, np.zeros(len(run.data.train))
    for frame in film:
        run.model.load_state_dict(frame.weights)
        mine = gradient(*run.data.validation[index : index + 1])
        lr = history.epochs[frame.epoch - 1].lr
        influence += [lr * float(gradient(*train[at : at + 1]) @ mine) for at in range(len(train))]
    return influence


@pytest.mark.parametrize("loss", [CrossEntropy(label_smoothing=0.1), BinaryCrossEntropy(), MeanSquaredError()])
def test_influence_is_what_autograd_gives_sample_by_sample(moons, loss):
    recipe = changed(moons[0].recipe, loss=loss)
    run, history, film = filmed(recipe, moons[0].data)
    found = blame(run, film, history, 7)
    assert found.frames == 3
    assert found.influence == pytest.approx(by_hand(run, history, film, 7), rel=1e-3, abs=1e-7)


def test_the_strongest_either_way_come_first(moons):
    run, history, film = moons
    found = blame(run, film, history, 0, count=5)
    assert found.influence[found.proponents].tolist() == sorted(found.influence, reverse=True)[:5]
    assert found.influence[found.opponents].tolist() == sorted(found.influence)[:5]
    assert found.influence[found.opponents].max() < 0 < found.influence[found.proponents].min()


def test_samples_with_a_wrong_label_have_a_high_influence_on_themselves(mislabelled):
    run, history, film, planted = mislabelled
    found = self_influence(run, film, history)
    first = np.argsort(-found)[: len(found) // 5]
    assert len(planted) > 10
    assert np.isin(planted, first).all()


def test_samples_with_a_wrong_label_are_to_blame_for_their_class_being_mistaken_for_it(mislabelled):
    run, history, film, planted = mislabelled
    with torch.no_grad():
        told = run.model(run.data.validation.inputs).argmax(1)
    targets = run.data.validation.targets
    mistakes = torch.nonzero((targets == STRANGE) & (told == TAKEN_FOR)).flatten().tolist()
    assert mistakes
    whole = sum(blame(run, film, history, index).influence for index in mistakes)
    ranks = np.argsort(np.argsort(whole))[planted]
    assert (ranks < len(whole) / 5).all()


def test_self_influence_is_the_influence_on_the_same_sample(moons):
    run, history, film = moons
    train = Split(*run.data.train[:20])
    run = build(run.recipe, Dataset(train, train, train, run.data.mean, run.data.std))
    found = self_influence(run, film, history)
    for index in range(0, 20, 5):
        assert found[index] == pytest.approx(blame(run, film, history, index).influence[index], rel=1e-4)


def test_the_rate_at_a_frame_is_the_one_measured_or_else_the_schedules(moons):
    run, history, film = moons
    assert [rate(run, history, frame) for frame in film] == pytest.approx([0.1, 0.05, 0.025])
    begun = Frame(0, 0, film[0].weights, {})
    assert rate(run, history, begun) == pytest.approx(0.1)
    later = Frame(5, 5 * run.steps_per_epoch, film[0].weights, {})
    assert rate(run, history, later) == pytest.approx(0.1 * 0.5**4)


@pytest.mark.parametrize("count", [1, 2, FRAMES, 13, 200])
def test_of_a_film_some_frames_are_chosen_evenly_the_last_among_them(count):
    epochs = chosen(range(count))
    assert len(set(epochs)) == len(epochs) == min(count, FRAMES)
    assert epochs == sorted(epochs)
    assert epochs[-1] == count - 1
    assert count == 1 or np.ptp(np.diff(epochs)) <= 1


def test_without_frames_nobody_can_be_blamed():
    with pytest.raises(LookError, match="no frames are kept"):
        chosen(())


def test_a_run_that_is_looked_at_after_every_epoch_ends_as_one_that_is_not(moons):
    run, history, film = moons
    trainer = Trainer(run.recipe)
    trainer.begin(run.data)
    with trainer.own_random():
        while not trainer.over:
            trainer.advance()
            trainer.answer(lambda run: blame(run, film[:1], history, 0), gradients=True)
    for mine, theirs in zip(trainer.run.model.parameters(), run.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not any(module._forward_pre_hooks for module in trainer.run.model.modules())


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "cifar-lenet"])
def test_every_named_recipe_can_be_asked(name):
    recipe = RECIPES[name].recipe
    full = load(recipe.data)
    train = Split(*full.train[:300])
    run = build(recipe, Dataset(train, full.validation, full.test, full.mean, full.std))
    film = [Frame(0, 0, dict(run.model.state_dict()), {})]
    found = blame(run, film, Trainer(recipe).history, 0)
    assert found.influence.shape == (min(SAMPLES, len(train)),)
    assert np.isfinite(found.influence).all()


@pytest.mark.parametrize("index", [-1, 9999])
def test_a_sample_that_is_not_there_is_told_in_a_sentence(moons, index):
    run, history, film = moons
    with pytest.raises(LookError, match=f"0 to {len(run.data.validation) - 1}"):
        blame(run, film, history, index)
