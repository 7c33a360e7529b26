"""What a problem of a recipe says would end it."""

import itertools
from functools import partial

import pytest

from dlcore.catalogue.architectures import CNN, Architecture
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Data
from dlcore.catalogue.losses import Loss
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.stopping import Stopping
from dlcore.recipe import Recipe, repeat
from dlcore.settings import choices

MODELS = [*choices(Architecture).values(), partial(CNN, padding=False, channels=(8, 16, 32, 64, 128, 256))]


@pytest.mark.parametrize("model", MODELS)
def test_what_a_problem_says_would_end_it_ends_it_for_every_combination(model):
    for data, loss in itertools.product(choices(Data).values(), choices(Loss).values()):
        recipe = Recipe(
            data=data(),
            model=model(),
            loss=loss(),
            optimizer=SGD(nesterov=True, momentum=0),
            augmentation=Augmentation(rotate=5, shear=1),
            stop=Stopping(accuracy=0.5),
        )
        for _ in range(3):  # another architecture may have a problem of its own
            for problem in recipe.contradictions():
                assert problem.fix, problem
                recipe = repeat(recipe, problem.fix)
        assert recipe.contradictions() == []
