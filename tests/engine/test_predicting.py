"""What a network answers to raw inputs."""

import pytest
import torch

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Data, Mnist5k, Sine, load
from dlcore.catalogue.losses import Loss, MeanSquaredError
from dlcore.catalogue.optimizers import Adam
from dlcore.catalogue.spec import Classes
from dlcore.engine.predicting import predict
from dlcore.engine.training import EpochEnd, Evaluating, Step, score, train
from dlcore.recipe import Recipe
from dlcore.settings import choices
from tests.engine.looping import MOONS, digits, start
from tests.running import changed


def test_predict_normalises_as_the_training_data_were():
    recipe = Recipe(model=MLP(widths=(8,)))
    run = start(recipe, digits())
    raw = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        expected = run.model.eval()((raw - 0.25) / 0.5).softmax(1)
    torch.testing.assert_close(predict(run, raw), expected)
    assert (predict(run, raw) - predict(run, (raw - run.data.mean) / run.data.std)).abs().max() > 1e-3


def test_predict_on_real_digits_gives_back_the_validation_scores():
    run = start(Recipe(model=MLP(widths=(8,))), load(Mnist5k()))
    split = run.data.validation
    raw = split.inputs * run.data.std + run.data.mean
    assert 0 <= raw.min() < raw.max() <= 1 + 1e-5
    agree = predict(run, raw).argmax(1).numpy() == score(run, split).predicted
    assert agree.mean() > 0.99  # all but a few that rounding may turn


def test_predict_leaves_the_random_state_alone_and_is_the_same_twice():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    next(train(run))
    state = torch.get_rng_state()
    raw = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    assert torch.equal(predict(run, raw), predict(run, raw))
    assert torch.equal(torch.get_rng_state(), state)


SMALL = {kind: data for kind, data in choices(Data).items() if data.inputs.shape != (3, 32, 32)}


@pytest.mark.parametrize("loss", choices(Loss))
@pytest.mark.parametrize("kind", [kind for kind, data in SMALL.items() if isinstance(data.targets, Classes)])
def test_probabilities_sum_to_one_for_every_loss_and_data(kind, loss):
    recipe = Recipe(data=SMALL[kind](), model=MLP(widths=(4,)), loss=choices(Loss)[loss](), optimizer=Adam(lr=0.1))
    data = digits() if recipe.shape == (1, 28, 28) else load(recipe.data)
    run = start(recipe, data)
    for _, event in zip(range(3), train(run), strict=False):
        assert isinstance(event, Step | Evaluating | EpochEnd)
    found = predict(run, 20 * torch.randn(50, *recipe.shape, generator=torch.Generator().manual_seed(0)))
    assert found.shape == (50, len(recipe.task.classes))
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(1), torch.ones(50))


def test_predict_gives_plain_values_for_regression():
    run = start(Recipe(data=Sine(), model=MLP(widths=(4,)), loss=MeanSquaredError()))
    raw = torch.tensor([[-1.0], [2.0]])
    with torch.no_grad():
        torch.testing.assert_close(predict(run, raw), run.model(raw))
