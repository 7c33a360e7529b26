"""A steered run that was broken off repeats its changes, as part of its history."""

import math

import pytest

from dlcore.catalogue.optimizers import SGD, Adam, Optimizer, RMSprop
from dlcore.catalogue.schedules import Cosine, OneCycle
from dlcore.engine.job import Job
from dlcore.history import Change
from dlcore.recipe import steerable
from dlcore.runs.store import Store
from dlcore.settings import choices
from tests.engine.conducting import OTHER
from tests.running import (
    DROPPING,
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
