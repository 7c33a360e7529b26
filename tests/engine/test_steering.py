"""Settings that change in mid-run: what they do from the next step on."""

import math

import pytest
import torch
from torch import nn

from dlcore import recipe as recipes
from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import load
from dlcore.catalogue.optimizers import SGD, Optimizer, RMSprop
from dlcore.catalogue.schedules import Cosine
from dlcore.catalogue.stopping import Stopping
from dlcore.engine.training import Step, build, steer, train
from dlcore.history import Change
from dlcore.recipe import steerable
from dlcore.recipes import RECIPES
from dlcore.settings import choices
from tests.engine.conducting import OTHER
from tests.running import DROPPING, ENDLESS, LONG, MOONS, PER_EPOCH, changed, finish, take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")

LINE = changed(RECIPES["linear-regression"].recipe, epochs=12)


def weights(job):
    return job.ask(lambda run: [value.item() for value in run.model.parameters()]).result(LONG)


# By hand: w and b of a line through four points


def descended(script, steps, lr=0.01, momentum=0.0, decay=0.0):
    """Gradient descent as PyTorch does it, with settings that change on the way; from the weights of the seed."""
    w, b = (value.item() for value in build(LINE, load(LINE.data)).model.parameters())
    known, speed = {"optimizer.lr": lr, "optimizer.momentum": momentum, "optimizer.weight_decay": decay}, None
    for step in range(steps):
        known |= script.get(step, {})
        lr, momentum, decay = known["optimizer.lr"], known["optimizer.momentum"], known["optimizer.weight_decay"]
        wrong = [w * x + b - 2 * x for x in (1.0, 2.0, 3.0, 4.0)]
        slope = [
            sum(2 * e * x for e, x in zip(wrong, (1, 2, 3, 4), strict=True)) / 4 + decay * w,
            sum(2 * e for e in wrong) / 4 + decay * b,
        ]
        if momentum:
            speed = [momentum * s + g for s, g in zip(speed, slope, strict=True)] if speed else slope
            slope = speed
        w, b = w - lr * slope[0], b - lr * slope[1]
    return [w, b]


@pytest.mark.parametrize(
    "script",
    [
        {4: {"optimizer.lr": 0.03}},
        {4: {"optimizer.lr": 0.03}, 8: {"optimizer.lr": 0.002}},
        {4: {"optimizer.momentum": 0.5}},
        {0: {"optimizer.momentum": 0.5}, 7: {"optimizer.momentum": 0.9}},
        {4: {"optimizer.weight_decay": 0.3}},
        {1: {"optimizer.lr": 0.02, "optimizer.momentum": 0.3, "optimizer.weight_decay": 0.1}},
        {},
    ],
)
def test_a_change_takes_effect_at_the_next_step(conductor, script):
    job = conductor.submit("line", LINE, paused=True)
    for step in range(LINE.epochs):
        if step in script:
            job.steer(script[step])
        take(job, 1)
    finish(job)
    assert weights(job) == pytest.approx(descended(script, LINE.epochs), rel=1e-5)
    assert job.history.changes == [Change(step, *item) for step, made in script.items() for item in made.items()]


def test_the_schedule_goes_on_from_the_new_rate(conductor):
    recipe = changed(LINE, schedule=Cosine())
    job, rates = conductor.submit("line", recipe, paused=True), []
    for step in range(12):
        if step == 5:
            job.steer({"optimizer.lr": 0.5e-2})
        take(job, 1)
        rates.append(job.ask(lambda run: run.optimizer.param_groups[0]["lr"]).result(LONG))
    expected = [(0.01 if step < 5 else 0.005) * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    assert rates == pytest.approx(expected)
    assert [row.lr for row in job.history.epochs] == pytest.approx(expected)


def test_more_epochs_stretch_the_schedule(conductor):
    job, rates = conductor.submit("line", changed(LINE, schedule=Cosine(), epochs=4), paused=True), []
    take(job, 2)
    job.steer({"epochs": 8})
    take(job, 5)
    assert (job.total_steps, job.progress) == (8, 7 / 8)
    rates = [row.lr for row in job.history.epochs]
    totals = [4, 4, 8, 8, 8, 8, 8]
    expected = [0.01 * (1 + math.cos(math.pi * step / total)) / 2 for step, total in enumerate(totals)]
    assert rates == pytest.approx(expected)
    job.resume()
    finish(job)
    assert len(job.history.epochs) == 8


# Epochs, dropout, optimizers, rules


def test_fewer_epochs_end_the_run_sooner(conductor):
    job = conductor.submit("moons", DROPPING, paused=True)
    take(job, PER_EPOCH + 1)
    job.steer({"epochs": 2})
    job.resume()
    finish(job)
    assert (job.status, len(job.history.epochs), job.total_steps) == ("finished", 2, 2 * PER_EPOCH)


def test_dropout_can_be_raised_from_none_and_lowered_again(conductor):
    job = conductor.submit("moons", changed(MOONS, model=MLP(widths=(64,), dropout=0.0), epochs=50), paused=True)

    def share(run):
        """Of the hidden units, how many are dropped in training."""
        run.model.train()
        dropped = []
        for module in run.model.modules():
            if isinstance(module, nn.Dropout):
                dropped.append((module(torch.ones(10_000)) == 0).float().mean().item())
        return dropped

    wait_until(lambda: job.ready)
    for dropout in (0.0, 0.5, 0.9, 0.0):
        job.steer({"model.dropout": dropout})
        take(job, 1)
        (found,) = job.ask(share).result(LONG)
        assert found == pytest.approx(dropout, abs=0.02)
        assert job.recipe.model.dropout == dropout


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_recipe_can_be_steered_in_what_it_has(name):
    recipe = RECIPES[name].recipe
    found = set(steerable(recipe))
    assert {"optimizer.lr", "optimizer.weight_decay", "epochs", "stop.patience"} <= found
    assert ("optimizer.momentum" in found) == (recipe.optimizer.kind == "sgd")
    assert ("optimizer.beta1" in found) == (recipe.optimizer.kind == "adam")
    assert ("model.dropout" in found) == hasattr(recipe.model, "dropout")
    assert not found & {"seed", "batch_size", "schedule.kind", "model.widths", "device", "optimizer.kind"}


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_a_steered_optimizer_is_one_that_had_these_settings_but_keeps_its_memory(kind):
    """Steered before the first step it is the other one; steered later, its memory of the gradients stays."""
    recipe = changed(MOONS, optimizer=choices(Optimizer)[kind]())
    changes = {path: value for path, value in OTHER.items() if path in steerable(recipe)}
    goal = recipes.steer(recipe, changes)
    assert goal.optimizer != recipe.optimizer
    runs = [build(one, load(recipe.data)) for one in (recipe, goal)]
    steer(runs[0], goal)
    assert runs[0].optimizer.param_groups[0].keys() == runs[1].optimizer.param_groups[0].keys()
    losses = [[event.loss.item() for event in train(run) if isinstance(event, Step)] for run in runs]
    assert losses[0] == losses[1]
    late = build(recipe, load(recipe.data))
    events = [event for _, event in zip(range(3), train(late), strict=False)]
    assert len(events) == 3
    before = {key: value.clone() for key, value in memory(late.optimizer)}
    steer(late, goal)
    after = dict(memory(late.optimizer))
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def memory(optimizer):
    for number, state in optimizer.state_dict()["state"].items():
        yield from (((number, name), value) for name, value in state.items() if isinstance(value, torch.Tensor))


@pytest.mark.parametrize("optimizer", [SGD(lr=0.01, momentum=0.0), RMSprop(lr=0.01, momentum=0.0)])
def test_momentum_can_begin_late(optimizer):
    """The speed starts from nothing: as if all gradients before had been none."""
    recipe = changed(MOONS, optimizer=optimizer, batch_size=8)
    run = build(recipe, load(recipe.data))
    events = train(run)
    for _ in range(3):
        next(events)
    steer(run, recipes.steer(recipe, {"optimizer.momentum": 0.75}))
    speeds = [torch.zeros_like(parameter) for parameter in run.model.parameters()]
    squares = [run.optimizer.state[parameter].get("square_avg") for parameter in run.model.parameters()]
    squares = [value.clone() if value is not None else None for value in squares]
    for _ in range(4):
        before = [parameter.detach().clone() for parameter in run.model.parameters()]
        next(events)
        for number, parameter in enumerate(run.model.parameters()):
            push = parameter.grad
            if squares[number] is not None:
                squares[number] = 0.99 * squares[number] + 0.01 * parameter.grad**2
                push = parameter.grad / (squares[number].sqrt() + 1e-8)
            speeds[number] = 0.75 * speeds[number] + push
            torch.testing.assert_close(parameter.detach(), before[number] - 0.01 * speeds[number])


def test_rules_can_change_on_the_way(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, PER_EPOCH)
    job.steer({"stop.accuracy": 0.01})
    job.resume()
    finish(job)
    assert (job.status, len(job.history.epochs)) == ("finished", 2)
    assert job.reason.startswith("validation accuracy reached")


def test_a_rule_can_be_called_off(conductor):
    job = conductor.submit("moons", changed(MOONS, stop=Stopping(accuracy=0.01)), paused=True)
    take(job, 1)
    job.steer({"stop.accuracy": 0.0})
    job.resume()
    finish(job)
    assert (len(job.history.epochs), job.reason) == (3, "")


def test_a_time_budget_can_be_set_on_the_way(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps > 10)
    job.steer({"stop.minutes": 0.001})
    finish(job)
    assert job.reason == "its 0.001 minutes are over"
