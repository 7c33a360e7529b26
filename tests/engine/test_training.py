"""The loop: what a step does, and what a run is made of."""

import copy
import weakref
from collections import Counter

import numpy as np
import pytest
import torch

from dlcore.catalogue.architectures import CNN, MLP, Linear
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Line
from dlcore.catalogue.losses import Loss, MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.catalogue.schedules import Cosine, LinearWarmup
from dlcore.engine import training
from dlcore.engine.predicting import predict
from dlcore.engine.randomness import generator
from dlcore.engine.training import EpochEnd, Evaluating, Step, score, train
from dlcore.recipe import Recipe
from dlcore.settings import choices
from tests.engine.looping import MOONS, STEPS, digits, same, start, weights
from tests.running import changed

# The loop


def test_the_loop_gives_the_weights_and_losses_of_one_written_by_hand():
    run = start(changed(MOONS, schedule=Cosine()))
    model, data = copy.deepcopy(run.model), run.data.train
    expected, total, step = [], 3 * STEPS, 0
    plain = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
    for epoch in (1, 2, 3):
        order = torch.randperm(120, generator=generator(MOONS.seed, "order", epoch))
        for first in range(0, 120, 32):
            chosen = order[first : first + 32]
            plain.param_groups[0]["lr"] = 0.1 * (1 + np.cos(np.pi * step / total)) / 2
            plain.zero_grad()
            loss = torch.nn.CrossEntropyLoss()(model(data.inputs[chosen]), data.targets[chosen])
            loss.backward()
            plain.step()
            expected.append(loss.item())
            step += 1
    found = [event.loss.item() for event in train(run) if isinstance(event, Step)]
    assert found == pytest.approx(expected, rel=1e-5)
    for one, other in zip(weights(run.model), weights(model), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_the_loop_takes_the_very_steps_of_every_optimizer(device, kind):
    recipe = changed(MOONS, device=device, optimizer=choices(Optimizer)[kind](), batch_size="all", epochs=12)
    run, plain = start(recipe), start(recipe)
    for _ in train(run):
        pass
    plain.model.train()
    for _ in range(12):
        plain.optimizer.zero_grad()
        recipe.loss.of(plain.model(plain.data.train.inputs), plain.data.train.targets).backward()
        plain.optimizer.step()
    assert same(weights(run.model), weights(plain.model))


def test_a_network_that_was_asked_something_goes_on_with_dropout():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.5)))
    events = train(run)
    next(events)
    predict(run, torch.zeros(1, 2))
    assert not run.model.training
    next(events)
    assert all(module.training for module in run.model.modules())


def test_the_graph_of_a_step_is_gone_when_it_is_told():
    run = start(changed(MOONS, optimizer=SGD(lr=0.1)))
    kept = []
    run.model.register_forward_hook(lambda module, inputs, outputs: kept.append(weakref.ref(outputs)))
    events = train(run)
    assert not next(events).loss.requires_grad
    assert kept[0]() is None


def test_events_come_as_steps_then_evaluations_then_the_end_of_the_epoch():
    kinds = [type(event) for event in train(start())]
    assert kinds == ([Step] * STEPS + [Evaluating] * 2 + [EpochEnd]) * 3


def test_events_carry_their_epoch_from_1():
    epochs = [event.epoch for event in train(start()) if not isinstance(event, Evaluating)]
    assert epochs == [1] * (STEPS + 1) + [2] * (STEPS + 1) + [3] * (STEPS + 1)


def test_evaluation_yields_after_every_batch_of_it(monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 16)
    kinds = [type(event) for event in train(start(changed(MOONS, epochs=1)))]
    assert kinds == [Step] * STEPS + [Evaluating] * (2 * 3) + [EpochEnd]  # 40 samples in batches of 16, twice


def test_nothing_happens_before_the_first_step_is_asked_for():
    run = start()
    before = weights(run.model)
    events = train(run)
    assert same(weights(run.model), before)
    next(events)
    assert not same(weights(run.model), before)


def test_gradients_survive_the_yield_and_are_those_of_the_step():
    recipe = changed(MOONS, optimizer=SGD(lr=0.1, momentum=0.0))
    run = start(recipe)
    events = train(run)
    for _ in range(2):  # the second step too: gradients must not pile up
        before = weights(run.model)
        next(events)
        for old, parameter in zip(before, run.model.parameters(), strict=True):
            assert parameter.grad.abs().sum() > 0
            torch.testing.assert_close(parameter.detach(), old - 0.1 * parameter.grad)


def test_a_step_carries_a_loss_without_its_graph():
    loss = next(train(start())).loss
    assert loss.shape == ()
    assert not loss.requires_grad


@pytest.mark.parametrize("schedule", [Cosine(), LinearWarmup(epochs=2.0)])
def test_the_learning_rate_follows_the_schedule_at_each_step(schedule):
    run = start(changed(MOONS, schedule=schedule))
    rates, ends = [], []
    for event in train(run):
        if isinstance(event, Step):
            rates.append(run.optimizer.param_groups[0]["lr"])
        elif isinstance(event, EpochEnd):
            ends.append(event.lr)
    steps = np.arange(3 * STEPS)
    expected = (
        0.1 * (1 + np.cos(np.pi * steps / (3 * STEPS))) / 2
        if schedule.kind == "cosine"
        else 0.1 * np.minimum(1, (steps + 1) / (2 * STEPS))
    )
    assert rates == pytest.approx(expected)
    assert ends == rates[STEPS - 1 :: STEPS]


def test_gradient_descent_on_the_line_follows_the_formula():
    # dL/dw = 2 mean((w x + b - y) x), dL/db = 2 mean(w x + b - y)
    recipe = Recipe(data=Line(), model=Linear(), loss=MeanSquaredError(), optimizer=SGD(lr=0.01, momentum=0.0),
                    epochs=20, batch_size="all")  # fmt: skip
    run = start(recipe)
    w, b = (value.item() for value in run.model.parameters())
    x = np.array([1.0, 2, 3, 4])
    for _ in range(20):
        wrong = w * x + b - 2 * x
        w, b = w - 0.01 * 2 * np.mean(wrong * x), b - 0.01 * 2 * np.mean(wrong)
    for _ in train(run):
        pass
    assert [value.item() for value in run.model.parameters()] == pytest.approx([w, b], rel=1e-4)


# Augmentation


def test_augmentation_applies_to_training_batches_only(monkeypatch):
    # Pictures with nothing but a sign: what the network sees tells where they have been.
    seen = []
    monkeypatch.setattr(Augmentation, "apply", lambda self, pictures: pictures + 100)
    run = start(Recipe(model=MLP(widths=(4,)), batch_size=50, epochs=1, augmentation=Augmentation(shift=0.1)), digits())
    run.model.register_forward_pre_hook(
        lambda model, inputs: seen.append((model.training, inputs[0].mean().item() > 50))
    )
    for _ in train(run):
        pass
    predict(run, torch.rand(2, 1, 28, 28))
    assert seen == [(True, True)] * 2 + [(False, False)] * 3


def test_augmentation_changes_the_course_and_is_decided_by_the_seed():
    def losses(**fields):
        recipe = Recipe(model=MLP(widths=(4,)), batch_size=50, epochs=2, **fields)
        return [event.loss.item() for event in train(start(recipe, digits())) if isinstance(event, Step)]

    moved = Augmentation(shift=0.1, rotate=20)
    assert losses(augmentation=moved) == losses(augmentation=moved)
    assert losses(augmentation=moved) != losses()


# Precision


@pytest.mark.parametrize("loss", choices(Loss))
def test_bfloat16_trains_near_float32_with_every_loss(loss):
    recipe = changed(MOONS, loss=choices(Loss)[loss](), epochs=5)
    ends = {}
    for precision in ("float32", "bfloat16"):
        run = start(changed(recipe, precision=precision))
        before = score(run, run.data.validation).loss
        *_, end = train(run)
        assert end.validation.loss < before
        assert all(parameter.dtype == torch.float32 for parameter in run.model.parameters())
        ends[precision] = end.validation.loss
    assert ends["bfloat16"] == pytest.approx(ends["float32"], rel=0.05)
    assert ends["bfloat16"] != ends["float32"]  # or it was not used at all


def test_bfloat16_trains_a_convolutional_network_too():
    recipe = Recipe(model=CNN(channels=(4,), dense=8), batch_size=50, epochs=10, optimizer=Adam(lr=0.01),
                    precision="bfloat16")  # fmt: skip
    losses = [event.loss.item() for event in train(start(recipe, digits())) if isinstance(event, Step)]
    assert losses[-1] < losses[0]


# Cost


def test_no_step_reads_a_number_from_its_device(monkeypatch):
    read = Counter()

    def counted(name):
        original = getattr(torch.Tensor, name)

        def wrapper(self, *arguments, **named):
            read[name] += 1
            return original(self, *arguments, **named)

        return wrapper

    events = train(start(changed(MOONS, optimizer=Adam(), schedule=Cosine())))
    next(events)
    for name in ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, counted(name))
    assert [type(next(events)) for _ in range(STEPS - 1)] == [Step] * (STEPS - 1)
    assert not read
    assert float(next(train(start())).loss) > 0
    assert read["__float__"] == 1  # what is counted here can be


# Beginning


def test_the_same_recipe_starts_from_the_same_weights_and_another_seed_from_others():
    torch.rand(7)
    assert same(weights(start().model), weights(start().model))
    assert not same(weights(start().model), weights(start(changed(MOONS, seed=1)).model))


def test_weights_do_not_depend_on_what_the_contestants_differ_in():
    other = start(changed(MOONS, optimizer=Adam(), batch_size=7, model=MLP(widths=(8,), dropout=0.3)))
    assert same(weights(start().model), weights(other.model))


# Steering


def test_a_steered_run_has_other_settings_from_its_next_step_on():
    run = start(changed(MOONS, model=MLP(widths=(8,), dropout=0.0), optimizer=SGD(lr=0.1, momentum=0.0)))
    events = train(run)
    next(events)
    steered = changed(run.recipe, model=MLP(widths=(8,), dropout=0.99), optimizer=SGD(lr=0.25, momentum=0.5), epochs=1)
    training.steer(run, steered)
    before = weights(run.model)
    next(events)
    assert run.recipe == steered
    for old, parameter in zip(before, run.model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.25 * parameter.grad)
    assert [module.p for module in run.model.modules() if isinstance(module, torch.nn.Dropout)] == [0.99]
    *_, last = events
    assert (type(last), last.epoch) == (EpochEnd, 1)


def test_dropout_of_units_and_of_channels_are_steered_each_on_its_own():
    recipe = Recipe(model=CNN(channels=(4,), dense=8, dropout=0.5, channel_dropout=0.25), batch_size=50)
    run = start(recipe, digits())
    for dropout, channels in ((0.5, 0.0), (0.1, 0.75)):
        steered = changed(
            recipe, model=recipe.model.model_copy(update={"dropout": dropout, "channel_dropout": channels})
        )
        training.steer(run, steered)
        shares = {type(module): module.p for module in run.model.modules() if hasattr(module, "p")}
        assert shares == {torch.nn.Dropout: dropout, torch.nn.Dropout2d: channels}


def test_more_epochs_are_taken_up_even_after_the_last():
    run = start()
    events = train(run)
    for event in events:
        if isinstance(event, EpochEnd) and event.epoch == 3:
            training.steer(run, changed(MOONS, epochs=4))
    assert event.epoch == 4
