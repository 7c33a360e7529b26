"""A run at its start: its first weights are the seed's, and whoever builds it leaves default generators alone."""

from collections import Counter

import pytest
import torch

from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.randomness import derive
from dlcore.engine.training import build, untrained
from dlcore.recipes import RECIPES


def weights(model):
    return [value.contiguous().numpy().tobytes() for value in model.state_dict().values()]


@pytest.mark.parametrize("name", RECIPES)
def test_first_weights_are_those_that_the_default_generator_would_draw_and_leave_it_alone(name):
    recipe, nothing = RECIPES[name].recipe, Dataset(*3 * [Split(torch.empty(0), torch.empty(0))], None, None)
    before, seen = torch.get_rng_state(), Counter()
    found = untrained(recipe, nothing).model
    assert torch.equal(torch.get_rng_state(), before)
    plain = recipe.model.build(recipe.inputs, recipe.outputs)
    for module in plain.modules():
        if hasattr(module, "reset_parameters"):
            shape = str([tuple(parameter.shape) for parameter in module.parameters(recurse=False)])
            seen[shape] += 1
            torch.manual_seed(derive(recipe.seed, "weights", shape, seen[shape]))
            module.reset_parameters()
    assert weights(found) == weights(plain)
    assert weights(build(recipe, nothing).model) == weights(plain)
    torch.manual_seed(derive(recipe.seed, "training"))
    expected = torch.get_rng_state()
    build(recipe, nothing)
    assert torch.equal(torch.get_rng_state(), expected)
