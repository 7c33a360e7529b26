"""Steering a run whatever it is doing just then, and what of it is refused."""

import math
import threading

import pytest

from dlcore.catalogue.optimizers import SGD
from dlcore.engine.driver import Driver
from dlcore.history import Change
from dlcore.settings import SettingsError
from tests.running import ENDLESS, LONG, MOONS, PER_EPOCH, as_if_killed, changed, finish, opened, settle, take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")


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


# What is refused


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
