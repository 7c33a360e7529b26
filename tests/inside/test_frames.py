"""Which frames of a film are asked, and the networks that they make."""

import pytest
import torch

from dlcore.catalogue.datasets import load
from dlcore.engine.predicting import predict
from dlcore.engine.training import build
from dlcore.inside.frames import evenly, networks
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame


@pytest.mark.parametrize("count", [0, 1, 2, 39, 40, 41, 79, 200])
def test_few_epochs_are_asked_the_first_and_the_last_among_them(count):
    chosen = evenly(range(1, count + 1))
    assert len(chosen) == min(count, 40) or 20 <= len(chosen) <= 40
    assert chosen == sorted(set(chosen))
    assert not count or (chosen[0], chosen[-1]) == (1, count)


def test_what_was_asked_of_a_film_that_grows_is_asked_again():
    before: list[int] = []
    for count in range(1, 300):
        now = evenly(range(count))
        new = set(now) - set(before)
        assert len(new) == 1, "one pass for each new epoch"
        before = now


@pytest.mark.parametrize("name", ["two-moons", "digits", "row-lstm"])
def test_a_frame_answers_as_the_network_did_whose_weights_it_holds(name):
    recipe = RECIPES[name].recipe
    run, other = build(recipe, load(recipe.data)), build(recipe.model_copy(update={"seed": 1}), load(recipe.data))
    frame = Frame(1, 10, {key: value.clone() for key, value in other.model.state_dict().items()}, {})
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    raw = run.data.validation.inputs[:5]
    for found, network in networks(run, [frame, Frame(2, 20, before, {})]):
        expected = other if found.epoch == 1 else run
        torch.testing.assert_close(predict(network, raw), predict(expected, raw))
    assert all(torch.equal(value, before[key]) for key, value in run.model.state_dict().items())
