"""Settings that change in mid-run: what they do, and that a resumed run repeats them as part of its history."""

import math
import threading

import pytest
import torch
from torch import nn

from dlcore import recipe as recipes
from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import load
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer, RMSprop
from dlcore.catalogue.schedules import Cosine, OneCycle
from dlcore.catalogue.stopping import Stopping
from dlcore.engine.driver import Driver
from dlcore.engine.job import Job
from dlcore.engine.training import Step, build, steer, train
from dlcore.history import Change
from dlcore.recipe import steerable
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from dlcore.settings import SettingsError, choices
from tests.running import (
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    PER_EPOCH,
    Breaks,
    as_if_killed,
    changed,
    course,
    fingerprint,
    finish,
    opened,
    settle,
    take,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")

LINE = changed(RECIPES["linear-regression"].recipe, epochs=12)


def weights(job):
    return job.ask(lambda run: [value.item() for value in run.model.parameters()]).result(LONG)


# What a change does, by hand: w and b of a line through four points


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


OTHER = {"optimizer.lr": 0.03, "optimizer.momentum": 0.6, "optimizer.beta1": 0.6, "optimizer.weight_decay": 0.2}


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
    recipe = changed(MOONS, optimizer=optimizer)
    run = build(recipe, load(recipe.data))
    events = train(run)
    for _ in range(3):
        next(events)
    steer(run, recipes.steer(recipe, {"optimizer.momentum": 0.75}))
    speeds = [torch.zeros_like(parameter) for parameter in run.model.parameters()]
    squares = [run.optimizer.state[parameter].get("square_avg") for parameter in run.model.parameters()]
    squares = [value.clone() if value is not None else None for value in squares]
    for _ in range(1):
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


# When


def test_a_run_is_steered_at_full_speed(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps > 10)
    for rate in (0.5, 0.25, 0.125):
        job.steer({"optimizer.lr": rate})
        assert job.wanted.optimizer.lr == rate
        before = job.history.steps
        wait_until(lambda before=before: job.history.steps > before + 5)
        assert job.recipe.optimizer.lr == rate
    assert [change.value for change in job.history.changes] == [0.5, 0.25, 0.125]
    steps = [change.step for change in job.history.changes]
    assert 10 < steps[0] < steps[1] < steps[2] <= job.history.steps


def test_a_run_is_steered_before_it_is_ready_and_while_it_waits(conductor):
    conductor.set_at_once(1)
    first = conductor.submit("first", ENDLESS)
    job = conductor.submit("moons", MOONS)
    assert job.status == "queued"
    job.steer({"optimizer.lr": 0.125, "epochs": 5})
    job.steer({"optimizer.lr": 0.25})
    assert job.wanted.optimizer.lr == 0.25
    wait_until(lambda: job.recipe.optimizer.lr == 0.25)
    assert job.status == "queued"
    assert job.history.changes == [Change(0, "epochs", 5), Change(0, "optimizer.lr", 0.25)]
    first.stop()
    finish(job)
    assert len(job.history.epochs) == 5
    assert [row.lr for row in job.history.epochs] == [0.25] * 5


def test_what_was_asked_of_a_queued_run_outlives_the_process(tmp_path):
    with opened(tmp_path / "runs", at_once=1) as conductor:
        conductor.submit("first", ENDLESS, paused=True)
        job = conductor.submit("moons", MOONS)
        job.steer({"optimizer.lr": 0.25})
        wait_until(lambda: conductor.store.open(job.number).history.changes)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
    with opened(copy) as conductor:
        again = conductor.resume(job.number)
        finish(again)
        assert [row.lr for row in again.history.epochs] == [0.25] * 3


def test_two_changes_at_once_are_both_made(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    take(job, 2)
    job.steer({"optimizer.lr": 0.5, "epochs": 4})
    job.steer({"optimizer.weight_decay": 0.25, "optimizer.lr": 0.125})
    take(job, 1)
    found = {change.setting: change.value for change in job.history.changes}
    assert found == {"optimizer.lr": 0.125, "epochs": 4, "optimizer.weight_decay": 0.25}
    assert {change.step for change in job.history.changes} == {2}


def test_a_change_of_mind_before_the_next_step_leaves_one_change(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    take(job, 2)
    for rate in (0.5, 0.25):
        job.steer({"optimizer.lr": rate})
        settle(job)
    assert job.history.changes == [Change(2, "optimizer.lr", 0.25)]


def test_the_pace_is_part_of_the_history(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", ENDLESS, paused=True)
        take(job, 3)
        job.set_pace(50.0)
        take(job, 2)
        job.set_pace(50.0)  # as it is
        job.set_pace(None)
        take(job, 1)
        job.set_pace(25.0)
        take(job, 0)
        made = job.history.changes
        assert made == [Change(3, "pace", 50.0), Change(5, "pace", None), Change(6, "pace", 25.0)]
    with opened(tmp_path) as conductor:
        again = conductor.resume(job.number, paused=True)
        assert (again.pace, again.history.changes) == (25.0, made)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimizer.lr": -1}, "optimizer.lr is -1"),
        ({"optimizer.lr": "fast"}, "optimizer.lr is 'fast'"),
        ({"optimizer.lr": math.nan}, "optimizer.lr"),
        ({"optimizer.momentum": 0.5}, "optimizer.momentum cannot change once a run has begun; what can: optimizer.lr"),
        ({"optimizer.betal": 0.5}, "did you mean optimizer.beta1"),
        ({"seed": 1}, "seed cannot change once a run has begun"),
        ({"model.widths": [9]}, "model.widths cannot change"),
        ({"optimizer.kind": "sgd"}, "optimizer.kind cannot change"),
        ({"optimizer": "sgd"}, "optimizer cannot change"),
        ({"epochs": 1}, "epochs is 1, but epoch 2 has begun; the nearest is 2"),
        ({"epochs": 0}, "epochs is 0"),
        ({"stop.accuracy": 2}, "stop.accuracy is 2"),
        ({"": 2}, "cannot change"),
        ({"optimizer.lr": 0.5, "epochs": 1}, "epochs is 1"),
        ({"optimizer.lr": 0.5, "seed": 1}, "seed cannot change"),
    ],
)
def test_a_change_that_cannot_be_raises_and_changes_nothing(conductor, changes, words):
    job = conductor.submit("moons", MOONS, paused=True)
    take(job, PER_EPOCH + 1)
    with pytest.raises(SettingsError) as caught:
        job.steer(changes)
    assert words in str(caught.value)
    take(job, 1)
    assert job.history.changes == []
    assert job.recipe == job.wanted == MOONS
    assert job.ask(lambda run: run.optimizer.param_groups[0]["lr"]).result(LONG) == MOONS.optimizer.lr


def test_changes_that_fit_alone_but_not_together_are_refused(conductor):
    recipe = changed(MOONS, optimizer=SGD(nesterov=True, momentum=0.5))
    job = conductor.submit("moons", recipe, paused=True)
    take(job, 1)
    with pytest.raises(SettingsError, match="which needs momentum"):
        job.steer({"optimizer.momentum": 0})
    assert job.wanted == recipe


def test_what_is_over_is_not_steered(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    job.steer({"optimizer.lr": 0.5})
    settle(job)
    assert (job.history.changes, job.recipe) == ([], MOONS)


def test_epochs_of_a_branch_that_is_not_ready_cannot_be_fewer_than_it_has(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        parent = conductor.submit("moons", MOONS)
        finish(parent)
        assert parent.wait_saved(LONG)
        conductor.set_at_once(1)
        conductor.submit("first", ENDLESS)
        branch = conductor.branch(parent.number, 2, "branch", MOONS)
        assert (branch.status, branch.steps_per_epoch) == ("queued", 0)
        with pytest.raises(SettingsError, match="epochs is 1, but epoch 2 has begun"):
            branch.steer({"epochs": 1})


# Repeated


SCRIPTS = {
    "rate": [(6, {"optimizer.lr": 0.05})],
    "rate, again and again": [(1, {"optimizer.lr": 0.05}), (6, {"optimizer.lr": 0.5}), (7, {"optimizer.lr": 0.02})],
    "first step": [(0, {"optimizer.lr": 0.05})],
    "an epoch's end": [(8, {"optimizer.lr": 0.05, "model.dropout": 0.1})],
    "dropout": [(6, {"model.dropout": 0.9}), (11, {"model.dropout": 0.0})],
    "memory": [(5, {"optimizer.beta1": 0.5}), (10, {"optimizer.weight_decay": 0.3})],
    "epochs": [(6, {"epochs": 8}), (13, {"epochs": 4})],
    "rules": [(6, {"stop.patience": 1}), (9, {"stop.patience": 0})],
}


@pytest.mark.parametrize("how", ["close", "kill"])
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_steered_run_that_was_broken_off_repeats_its_changes(tmp_path, script, how):
    """Broken off right after each change, before there is another checkpoint, and a little later."""
    recipe = changed(DROPPING, schedule=OneCycle())
    _, expected, changes = course(tmp_path / "whole", recipe, script)
    assert [change.step for change in changes] == [step for step, made in script for _ in made]
    places = {step for step, _ in script} | {script[-1][0] + 1}
    _, found, repeated = course(tmp_path / "broken", recipe, script, **{f"{how}_at": places})
    assert found == expected
    assert repeated == changes


@pytest.mark.parametrize("optimizer", [SGD(lr=0.05, momentum=0.0), RMSprop(lr=0.01, momentum=0.0)])
def test_momentum_that_began_late_is_repeated(tmp_path, optimizer):
    script = [(3, {"optimizer.momentum": 0.8}), (9, {"optimizer.momentum": 0.0}), (14, {"optimizer.momentum": 0.5})]
    recipe = changed(DROPPING, optimizer=optimizer)
    _, expected, _ = course(tmp_path / "whole", recipe, script)
    assert course(tmp_path / "closed", recipe, script, close_at=[4, 10])[1] == expected
    assert course(tmp_path / "killed", recipe, script, kill_at=[7, 15])[1] == expected


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_every_optimizer_is_steered_and_repeats_it(tmp_path, kind):
    recipe = changed(DROPPING, optimizer=choices(Optimizer)[kind](), epochs=4)
    changes = {path: value for path, value in OTHER.items() if path in steerable(recipe)}
    script = [(6, changes), (9, {"optimizer.lr": 0.01})]
    _, expected, _ = course(tmp_path / "whole", recipe, script)
    assert expected != course(tmp_path / "without", recipe, [])[1]
    assert course(tmp_path / "killed", recipe, script, kill_at=[7])[1] == expected
    assert course(tmp_path / "closed", recipe, script, close_at=[6])[1] == expected


def test_changes_made_while_an_epoch_is_evaluated_are_repeated_in_their_place(tmp_path, monkeypatch):
    """They count from the next step on: neither that epoch's learning rate nor its end hangs on when they came."""
    breaks, recipe = Breaks(monkeypatch), changed(DROPPING, schedule=Cosine())
    changes = {"optimizer.lr": 0.5, "stop.accuracy": 0.01, "model.dropout": 0.1}
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", recipe, paused=True)
        take(job, 2 * PER_EPOCH - 1)
        breaks.after(2, Job.pause)  # after the last step, and the evaluation of a batch
        job.resume()
        wait_until(lambda: job.status == "paused")
        settle(job)
        assert (job.history.steps, len(job.history.epochs)) == (2 * PER_EPOCH, 1)
        job.steer(changes)
        settle(job)
        assert job.recipe.optimizer.lr == 0.5  # as it is told
        wait_until(lambda: len(conductor.store.open(job.number).history.changes) == 3)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
        conductor.close()  # which keeps the place
    fingerprints = []
    for root in (copy, tmp_path / "runs"):
        with opened(root) as conductor:
            again = conductor.resume(job.number)
            finish(again)
            fingerprints.append(fingerprint(again))
            assert [change.step for change in again.history.changes] == [2 * PER_EPOCH] * 3
            assert again.history.epochs[1].lr == recipe.optimizer.lr * (1 + math.cos(math.pi * 7 / 24)) / 2
            assert len(again.history.epochs) == 3  # and then the target was reached
    assert fingerprints[0] == fingerprints[1]
    _, whole, _ = course(tmp_path / "whole", recipe, [(2 * PER_EPOCH, changes)])
    assert fingerprints[0] == whole


def test_another_change_on_the_way_takes_the_place_of_those_still_to_be_repeated(tmp_path):
    """The run goes back to a checkpoint before its changes, and there someone changes the same setting."""
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, PER_EPOCH + 2)
        job.steer({"optimizer.lr": 0.5, "model.dropout": 0.1})
        take(job, 0)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
    with opened(copy) as conductor:
        again = conductor.resume(job.number, {"optimizer.lr": 0.125}, paused=True)
        assert again.history.changes == [Change(4, "optimizer.lr", 0.125), Change(6, "model.dropout", 0.1)]
        take(again, 1)
        again.steer({"model.dropout": 0.2})
        take(again, 0)
        assert again.history.changes == [Change(4, "optimizer.lr", 0.125), Change(5, "model.dropout", 0.2)]
        again.resume()
        finish(again)
        found = fingerprint(again)
    script = [(4, {"optimizer.lr": 0.125}), (5, {"model.dropout": 0.2})]
    assert course(tmp_path / "whole", DROPPING, script)[1] == found


def test_the_store_tells_the_changed_settings(tmp_path):
    job, _, changes = course(tmp_path, DROPPING, [(6, {"optimizer.lr": 0.5, "epochs": 7, "stop.not_a_number": False})])
    store = Store(tmp_path)
    found = store.open(job.number)
    assert found.history.changes == changes
    assert (found.recipe.optimizer.lr, found.recipe.epochs, found.recipe.stop.not_a_number) == (0.5, 7, False)
    assert (found.first_recipe, store.rows()[0]["epochs"]) == (DROPPING, 7)
    assert found.recipe.optimizer == Adam(lr=0.5)
    store.close()


def test_what_is_wanted_can_be_asked_while_an_epoch_begins_that_was_to_be_none(conductor, monkeypatch):
    job = conductor.submit("moons", changed(MOONS, epochs=50), paused=True)
    take(job, 4 * PER_EPOCH + 1)
    held, go_on = threading.Event(), threading.Event()
    hear = Driver.hear

    def late(driver):
        with driver.trainer.own_random():
            while job.history.steps < 5 * PER_EPOCH + 1:
                driver.advance()
        held.set()
        go_on.wait(LONG)
        hear(driver)

    monkeypatch.setattr(Driver, "hear", late)
    job.steer({"epochs": 5})
    assert held.wait(LONG)
    assert job.wanted.epochs == 6
    go_on.set()
    wait_until(lambda: job.recipe.epochs == 6)
