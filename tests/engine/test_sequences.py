"""Text and series train, go on, answer and are refused as everything else."""

import itertools
import math

import numpy as np
import pytest
import torch

from dlcore.catalogue.architectures import MLP, Architecture, Linear, Recurrent, layers, size
from dlcore.catalogue.datasets import load
from dlcore.catalogue.losses import CrossEntropy, Loss, MeanSquaredError
from dlcore.catalogue.optimizers import Adam
from dlcore.catalogue.spec import Classes, NextToken, Numbers
from dlcore.engine.capture import network
from dlcore.engine.predicting import predict
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import build, score
from dlcore.inside import fit
from dlcore.recipe import Recipe
from dlcore.settings import choices
from tests.sequences import ALL, LENGTH, LETTERS, ROWS, TEXTS, Alphabet, LetterShare, NextOfWave

MODELS = {"mlp": MLP(widths=(16,)), "recurrent": Recurrent(hidden=12)}
MODELS |= {kind: cls() for kind, cls in choices(Architecture).items() if kind not in MODELS}


def recipe_of(data, model=None, **settings):
    """A recipe with data that no catalogue lists, so that it can be copied but not read."""
    loss = MeanSquaredError() if isinstance(data.targets, Numbers) else CrossEntropy()
    settings = {"loss": loss, "optimizer": Adam(lr=0.02), "epochs": 8, "batch_size": 16} | settings
    return Recipe().model_copy(update={"data": data, "model": model or MODELS["recurrent"]} | settings)


def begun(recipe, **how):
    trainer = Trainer(recipe, **how)
    trainer.begin(load(recipe.data))
    return trainer


def advance(trainer, epochs):
    with trainer.own_random():
        while not trainer.over and trainer.place.epochs < epochs:
            trainer.advance()


PAIRS = [
    pytest.param(recipe_of(data, model), id=f"{data.kind}-{model.kind}-{getattr(model, 'cell', '')}")
    for data, model in [
        *itertools.product(ALL, [Recurrent(cell=cell, hidden=12) for cell in ("rnn", "lstm", "gru")]),
        *itertools.product(ROWS, [MLP(widths=(16,)), Linear()]),
    ]
]


@pytest.mark.parametrize("recipe", PAIRS)
def test_text_and_series_train_until_the_loss_is_a_fraction_of_what_it_was(recipe):
    assert recipe.problems() == recipe.warnings() == []
    trainer = begun(recipe)
    before = score(trainer.run, trainer.run.data.validation).loss
    advance(trainer, recipe.epochs)
    last = trainer.history.epochs[-1]
    assert last.val_loss < 0.6 * before
    assert (last.val_accuracy is None) == isinstance(recipe.data.targets, Numbers)
    assert trainer.predicted.shape == trainer.targets.shape


def test_letters_in_a_row_are_learned_to_the_last_one():
    trainer = begun(recipe_of(Alphabet(), epochs=15))
    advance(trainer, 15)
    assert trainer.history.epochs[-1].val_accuracy == 1
    assert np.array_equal(trainer.predicted, trainer.targets)


@pytest.mark.parametrize("recipe", [recipe_of(data) for data in ALL], ids=lambda recipe: recipe.data.kind)
def test_a_run_that_is_captured_goes_on_as_if_it_had_not_been(recipe):
    whole = begun(recipe)
    advance(whole, 1)
    checkpoint = whole.capture()
    advance(whole, 3)
    rest = begun(recipe, checkpoint=checkpoint)
    advance(rest, 3)
    ours, theirs = rest.run.model.state_dict(), whole.run.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    asked, inputs = network(recipe, whole.capture()), whole.run.data.test.inputs
    assert torch.equal(predict(asked, inputs), predict(whole.run, inputs))


def test_scores_of_the_next_token_are_over_tokens_however_the_split_is_cut(monkeypatch):
    run = build(recipe_of(Alphabet()), load(Alphabet()))
    split = run.data.validation
    with torch.no_grad():
        shares = run.model.eval()(split.inputs).double().softmax(-1).numpy()
    targets = split.targets.numpy()
    chances = [shares[row, place, targets[row, place]] for row, place in np.ndindex(targets.shape)]
    for batch in (1, 7, 256):
        monkeypatch.setattr("dlcore.engine.training.EVALUATION_BATCH", batch)
        found = score(run, split)
        assert found.loss == pytest.approx(-np.mean(np.log(chances)), rel=1e-5)
        assert found.accuracy == np.mean(shares.argmax(-1) == targets)
        assert found.predicted.shape == targets.shape


def test_a_network_says_how_likely_each_token_is_after_each_place():
    run = build(recipe_of(Alphabet()), load(Alphabet()))
    answers = predict(run, run.data.test.inputs)
    assert answers.shape == (20, LENGTH, len(LETTERS))
    torch.testing.assert_close(answers.sum(-1), torch.ones(20, LENGTH))


def test_what_comes_later_changes_no_answer_before_it():
    run = build(recipe_of(Alphabet()), load(Alphabet()))
    inputs = run.data.test.inputs.clone()
    before = predict(run, inputs)
    inputs[:, 5:] = 0
    assert torch.equal(predict(run, inputs)[:, :5], before[:, :5])
    assert not torch.equal(predict(run, inputs)[:, 5:], before[:, 5:])


@pytest.mark.parametrize("recipe", PAIRS)
def test_a_network_of_text_or_series_can_be_looked_at(recipe):
    found = layers(recipe.model, recipe.inputs, recipe.outputs)
    assert found[-1].output == recipe.outputs
    assert sum(layer.parameters for layer in found) == size(recipe.model, recipe.inputs, recipe.outputs)
    assert not fit.visible(recipe)


@pytest.mark.parametrize(("data", "model", "loss"), list(itertools.product(ALL, MODELS, choices(Loss))))
def test_what_is_chosen_together_trains_or_says_why_not_in_one_sentence(data, model, loss):
    recipe = recipe_of(data, MODELS[model], loss=choices(Loss)[loss](), epochs=1, batch_size=40)
    problems = recipe.problems()
    for problem in problems:
        assert data.kind in problem.text
        assert {"model.kind": model, "loss.kind": loss}[problem.setting] in problem.text
        assert problem.text.count(". ") == 0
        assert problem.text.endswith(".")
    refused = {problem.setting for problem in problems}
    assert ("model.kind" in refused) == (
        model not in (("recurrent",) if data in TEXTS else ("linear", "mlp", "recurrent"))
    )
    fits = {Classes: choices(Loss), Numbers: ("mse", "mae", "huber"), NextToken: ("cross-entropy",)}[type(data.targets)]
    assert ("loss.kind" in refused) == (loss not in fits)
    if not problems:
        trainer = begun(recipe)
        advance(trainer, 1)
        assert math.isfinite(trainer.history.epochs[-1].val_loss)


@pytest.mark.parametrize("data", [Alphabet(), LetterShare(), NextOfWave()], ids=lambda data: data.kind)
def test_text_and_series_train_in_bfloat16(data):
    trainer = begun(recipe_of(data, precision="bfloat16"))
    advance(trainer, 1)
    assert math.isfinite(trainer.history.epochs[-1].val_loss)
