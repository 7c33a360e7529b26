"""What can be chosen together either runs or says why not: every data set with every architecture and every loss."""

import copy
import itertools

import pytest
import torch

from dlcore.catalogue import datasets
from dlcore.catalogue.architectures import CNN, MLP, Architecture, Linear, Recurrent
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Data
from dlcore.catalogue.losses import Loss, MeanSquaredError
from dlcore.catalogue.optimizers import Optimizer
from dlcore.catalogue.schedules import Schedule
from dlcore.catalogue.splits import Dataset, Split
from dlcore.catalogue.tasks import task_of
from dlcore.engine.predicting import predict
from dlcore.engine.training import EpochEnd, Step, build, train
from dlcore.recipe import Recipe, change
from dlcore.settings import choices, explanation

FAMILIES = (Data, Architecture, Loss, Optimizer, Schedule)
SMALL = {"mlp": MLP(widths=(6,)), "cnn": CNN(channels=(2, 3), dense=5), "recurrent": Recurrent(hidden=4)}
MODELS = {kind: SMALL.get(kind, cls()) for kind, cls in choices(Architecture).items() if kind != "resnet18"}
TRIPLES = list(itertools.product(choices(Data), MODELS, choices(Loss)))
DOWNLOADED = {kind for kind, cls in choices(Data).items() if hasattr(cls, "published")}


def stand_in(data):
    """Random pictures in the shape of a set that would have to be downloaded."""
    random = torch.Generator().manual_seed(0)

    def split(size):
        inputs = torch.randn(size, *data.spec().inputs.shape, generator=random)
        return Split(inputs, torch.arange(size) % len(task_of(data.spec()).classes))

    channels = data.spec().inputs.shape[0]
    return Dataset(split(20), split(10), split(10), torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1))


def few(data):
    """The data set, or what stands in for it, cut to a few samples, so that a test takes milliseconds."""
    if data.kind in DOWNLOADED:
        return stand_in(data)
    whole = datasets.load(data)
    parts = (Split(part.inputs[:8], part.targets[:8]) for part in (whole.train, whole.validation, whole.test))
    return Dataset(*parts, whole.mean, whole.std)


def two_steps(recipe):
    """Train until the end of an epoch of two steps; checks what any run must give."""
    data = few(recipe.data)
    size = -(-len(data.train) // 2)
    recipe = recipe.model_copy(update={"batch_size": size, "epochs": 1})
    run = build(recipe, data)
    before = copy.deepcopy(run.model.state_dict())
    events = list(train(run))
    losses = [event.loss for event in events if isinstance(event, Step)]
    assert len(losses) == 2
    assert all(loss.shape == () and torch.isfinite(loss) for loss in losses)
    assert any(not torch.equal(before[name], value) for name, value in run.model.state_dict().items())
    (end,) = [event for event in events if isinstance(event, EpochEnd)]
    assert (end.validation.accuracy is None) == (not recipe.task.measures_accuracy)
    assert len(end.validation.predicted) == len(data.validation)

    answers = predict(run, torch.rand(3, *recipe.shape))
    assert answers.shape == (3, len(recipe.task.classes) or 1)
    if recipe.task.classes:
        torch.testing.assert_close(answers.sum(1), torch.ones(3), rtol=1e-5, atol=1e-5)
    return losses


@pytest.mark.parametrize(("data", "model", "loss"), TRIPLES)
def test_what_is_chosen_together_trains_or_says_why_not(data, model, loss):
    recipe = Recipe(data=choices(Data)[data](), model=MODELS[model], loss=choices(Loss)[loss]())
    if problems := recipe.problems():
        for problem in problems:
            assert data in problem.text
            assert {"model.kind": model, "loss.kind": loss}[problem.setting] in problem.text
    else:
        two_steps(recipe)


@pytest.mark.parametrize(("data", "loss"), [("mnist-5k", "cross-entropy"), ("cifar10", "mse")])
def test_the_largest_network_trains_on_grey_and_on_coloured_pictures(data, loss):
    two_steps(Recipe(data=choices(Data)[data](), model=choices(Architecture)["resnet18"](), loss=choices(Loss)[loss]()))


def test_every_choice_can_be_used_with_some_others():
    used = [set(), set(), set()]
    for data, model, loss in TRIPLES:
        if not Recipe(data=choices(Data)[data](), model=MODELS[model], loss=choices(Loss)[loss]()).problems():
            for kinds, kind in zip(used, (data, model, loss), strict=True):
                kinds.add(kind)
    assert used == [choices(Data).keys(), MODELS.keys(), choices(Loss).keys()]


@pytest.mark.parametrize("optimizer", choices(Optimizer))
def test_every_optimizer_trains(optimizer):
    two_steps(Recipe(optimizer=choices(Optimizer)[optimizer](), model=MODELS["mlp"]))


@pytest.mark.parametrize("schedule", choices(Schedule))
def test_every_schedule_trains_and_sets_the_learning_rate_of_its_factor(schedule):
    schedule = choices(Schedule)[schedule]()
    run = build(
        Recipe(
            data=choices(Data)["line"](), model=Linear(), loss=MeanSquaredError(), schedule=schedule, epochs=3
        ).model_copy(update={"batch_size": 2}),
        few(choices(Data)["line"]()),
    )
    rates = [run.optimizer.param_groups[0]["lr"] for event in train(run) if isinstance(event, Step)]
    factors = [schedule.factor(step, 6, 2) for step in range(6)]
    assert rates == pytest.approx([run.recipe.optimizer.lr * factor for factor in factors], rel=1e-9)


def test_augmented_pictures_train():
    moved = Augmentation(shift=0.1, rotate=10, scale=0.1, shear=10)
    plain = two_steps(Recipe(model=MODELS["cnn"]))
    assert two_steps(Recipe(model=MODELS["cnn"], augmentation=moved)) != plain


@pytest.mark.parametrize("model", MODELS)
def test_bfloat16_trains_every_network_to_nearly_the_same_loss_as_float32(model):
    recipe = Recipe(model=MODELS[model], augmentation=Augmentation(shift=0.1, rotate=10))
    whole, short = (two_steps(change(recipe, {"precision": precision})) for precision in ("float32", "bfloat16"))
    assert torch.stack(short).float().tolist() == pytest.approx(torch.stack(whole).tolist(), rel=0.05)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_recurrent_cell_trains_in_bfloat16(cell):
    two_steps(Recipe(model=Recurrent(cell=cell, hidden=16), precision="bfloat16"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_choice_has_a_name_a_title_and_an_explanation_of_its_own(family):
    members = choices(family)
    assert members
    assert len({cls.title for cls in members.values()}) == len(members)
    assert len({explanation(cls) for cls in members.values()}) == len(members)
    for kind, cls in members.items():
        assert kind == kind.lower()
        assert cls.title
        assert explanation(cls).endswith(".")
        assert cls.__doc__ != family.__doc__


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_of_a_choice_has_a_title_and_a_description_for_people(family):
    for cls in choices(family).values():
        for name, field in cls.model_fields.items():
            if name != "kind":
                assert field.title, f"{cls.__name__}.{name}"
                assert (field.description or "").endswith("."), f"{cls.__name__}.{name}"
