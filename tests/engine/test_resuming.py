"""A run that was interrupted goes on: from where, for how long, and with how many cores."""

import os
import threading

import pytest
import torch

from dlcore.catalogue.optimizers import SGD, Optimizer
from dlcore.catalogue.stopping import Stopping
from dlcore.engine import loading
from dlcore.engine.job import Job
from dlcore.history import Change
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError, choices
from tests.running import (
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    PER_EPOCH,
    alone,
    as_if_killed,
    changed,
    course,
    fingerprint,
    finish,
    opened,
    settle,
    stored,
    take,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")


# Where it goes on


def test_it_goes_on_where_it_was_with_the_clocks_as_they_were(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 6)
    assert (job.status, job.history.steps) == ("interrupted", 6)
    with opened(tmp_path) as conductor:
        again = conductor.resume(job.number, paused=True)
        assert (again.status, again.number, again.name, again.first_recipe) == ("paused", job.number, "moons", DROPPING)
        assert (again.history.steps, again.epoch, again.created) == (6, 2, job.created)
        assert (again.elapsed, again.stepping) == (job.elapsed, job.stepping)
        assert again.history.rows() == job.history.rows()
        take(again, 1)
        assert again.elapsed > job.elapsed
        assert again.history.losses[:6].tolist() == job.history.losses.tolist()


def test_a_kill_loses_at_most_the_epoch_in_hand(device, tmp_path):
    recipe = changed(DROPPING, device=device)
    expected = alone(recipe)
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", recipe, paused=True)
        take(job, 2 * PER_EPOCH + 3)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
    assert stored(copy, job.number).status == "interrupted"
    with opened(copy) as conductor:
        again = conductor.resume(job.number, paused=True)
        assert (again.history.steps, len(again.history.epochs)) == (2 * PER_EPOCH, 2)
        again.resume()
        finish(again)
        assert fingerprint(again) == expected


@pytest.mark.parametrize("steps", [0, 1, PER_EPOCH - 1])
def test_a_kill_in_the_first_epoch_begins_anew(tmp_path, steps):
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, steps)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
    with opened(copy) as conductor:
        again = conductor.resume(job.number)
        finish(again)
        assert fingerprint(again) == alone(DROPPING)


def test_a_run_that_is_closed_before_it_is_under_way_again_keeps_its_place(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 6)
    gate, load = threading.Event(), loading.load
    with monkeypatch.context() as patch:
        patch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and load(*arguments))
        with opened(tmp_path) as conductor:
            again = conductor.resume(job.number)
            assert again.status == "preparing"
    gate.set()
    with opened(tmp_path) as conductor:
        once_more = conductor.resume(job.number, paused=True)
        assert once_more.history.steps == 6
        once_more.resume()
        finish(once_more)
        assert fingerprint(once_more) == alone(DROPPING)


def test_a_run_killed_right_after_it_went_on_keeps_its_place(tmp_path):
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 6)
    with opened(tmp_path / "runs") as conductor:
        conductor.resume(job.number, paused=True)
        copy = as_if_killed(conductor.store, tmp_path / "killed")
    with opened(copy) as conductor:
        assert conductor.resume(job.number, paused=True).history.steps == 6


def test_a_run_goes_on_in_the_process_that_stopped_it(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 6)
        job.stop()
        finish(job)
        again = conductor.resume(job.number)
        assert conductor.jobs == [again]
        finish(again)
        assert fingerprint(again) == alone(DROPPING)


def test_an_imported_run_is_not_measured_against_what_is_lost(tmp_path):
    patient = changed(DROPPING, stop=Stopping(patience=2))
    with opened(tmp_path) as conductor:
        take(conductor.submit("moons", patient, paused=True), 2 * PER_EPOCH)
    for file in tmp_path.glob("dlcore.db*"):
        file.unlink()
    with opened(tmp_path) as conductor:
        assert conductor.store.take_in(1) == []
        assert conductor.store.open(1).history.best is None
        job = conductor.resume(1)
        finish(job)
        assert len(job.history.epochs) >= 4
        assert job.history.best.epoch > 2
        assert job.recipe == patient
        assert job.wait_saved(LONG)
        again = conductor.branch(1, 3, "branch", changed(patient, epochs=4))
        finish(again)
        assert again.history.best.epoch > 2


def test_a_contestant_that_goes_on_stays_in_its_race(tmp_path):
    with opened(tmp_path) as conductor:
        racing = conductor.race([("a", DROPPING), ("b", DROPPING)], paused=True)
        take(racing[1], 6)
    with opened(tmp_path) as conductor:
        again = conductor.resume(racing[1].number)
        assert again.race == racing[0].race
        finish(again)
        assert again.wait_saved(LONG)
        assert {conductor.store.open(job.number).race for job in racing} == {racing[0].number}


def test_a_failed_run_goes_on_from_its_last_whole_epoch(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 6)
        job.ask(lambda run: run.model.register_forward_pre_hook(lambda *_: 1 / 0)).result(LONG)
        job.resume()
        finish(job)
        assert job.status == "failed"
        again = conductor.resume(job.number)
        finish(again)
        assert fingerprint(again) == alone(DROPPING)
    assert stored(tmp_path, job.number).failure is None


# More epochs


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_a_finished_run_goes_on_for_more_epochs_as_if_it_had_had_them(tmp_path, kind):
    recipe = changed(DROPPING, optimizer=choices(Optimizer)[kind](lr=0.05), epochs=2)
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", recipe)
        finish(job)
        again = conductor.resume(job.number, {"epochs": 5})
        finish(again)
        assert fingerprint(again) == alone(changed(recipe, epochs=5))
        assert again.history.changes == [Change(2 * PER_EPOCH, "epochs", 5)]
        assert (again.first_recipe.epochs, again.recipe.epochs) == (2, 5)
    assert stored(tmp_path, job.number).recipe.epochs == 5


def test_a_finished_run_with_nothing_left_to_do_is_told_what_it_needs(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", MOONS)
        finish(job)
        with pytest.raises(StoreError, match="has done all its 3 epochs; to go on, give it more of them"):
            conductor.resume(job.number)
        with pytest.raises(SettingsError, match="epochs is 2, but epoch 3 has begun; the nearest is 3"):
            conductor.resume(job.number, {"epochs": 2})
        with pytest.raises(SettingsError, match=r"model\.widths cannot change once a run has begun"):
            conductor.resume(job.number, {"model.widths": [9]})
        found = conductor.store.open(job.number)
        assert (found.status, found.history.steps, found.history.changes) == ("finished", 3 * PER_EPOCH, [])
        assert found.rewinds == 0
        finish(conductor.resume(job.number, {"epochs": 4}))  # it was let go each time


# Rules that end a run


def test_a_run_that_a_rule_ended_goes_on_when_the_rule_is_changed(tmp_path):
    recipe = changed(ENDLESS, epochs=200, stop=Stopping(accuracy=0.8))
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", recipe)
        finish(job)
        assert "accuracy reached" in job.reason
        with pytest.raises(StoreError, match=r"has ended: validation accuracy reached.*; to go on, change that rule"):
            conductor.resume(job.number)
        again = conductor.resume(job.number, {"stop.accuracy": 0.0})
        finish(again)
        assert again.reason == ""
        assert fingerprint(again)[0] == alone(changed(recipe, stop=Stopping()))[0]


def test_a_run_whose_time_was_over_goes_on_with_more_of_it(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", changed(ENDLESS, stop=Stopping(minutes=0.004)))
        finish(job)
        with pytest.raises(StoreError, match=r"has ended: its 0\.004 minutes are over"):
            conductor.resume(job.number)
        longer = job.elapsed / 60 + 0.004
        again = conductor.resume(job.number, {"stop.minutes": longer}, paused=True)
        take(again, 1)
        again.resume()
        finish(again)
        assert again.reason == f"its {longer:g} minutes are over"
        assert again.elapsed >= longer * 60
        assert again.history.steps > job.history.steps


def test_an_interruption_between_the_last_epoch_and_the_end_changes_nothing(breaks, tmp_path):
    """By a rule, and by the number of epochs; what the network says is known in both cases."""
    recipe = changed(DROPPING, epochs=3)
    by_rule = changed(DROPPING, stop=Stopping(patience=1), optimizer=SGD(lr=1e-9), epochs=30)
    for one, epochs in ((recipe, 3), (by_rule, 2)):
        expected = alone(one)
        with opened(tmp_path / f"runs-{epochs}") as conductor:
            job = conductor.submit("moons", one, paused=True)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Stopping, "after_epoch", lambda *_: "")  # or it would end at once
                take(job, epochs * PER_EPOCH - 1)
                breaks.after(1 + 2 + 1, Job.pause)
                job.resume()
                wait_until(lambda job=job, epochs=epochs: len(job.history.epochs) == epochs)
                settle(job)
            assert job.active
        with opened(tmp_path / f"runs-{epochs}") as conductor:
            again = conductor.resume(job.number)
            finish(again)
            assert fingerprint(again) == expected
            assert bool(again.reason) == (one is by_rule)


def test_a_rule_made_stricter_after_an_epoch_waits_for_the_next_also_when_interrupted(tmp_path):
    """As in a run that goes on: rules are asked at an epoch's end alone."""
    script = [(2 * PER_EPOCH + 2, {"stop.patience": 1})]
    recipe = changed(DROPPING, optimizer=SGD(lr=1e-9))  # no loss ever falls
    expected = course(tmp_path / "whole", recipe, script)
    assert len(expected[0].history.epochs) == 3
    assert expected[0].reason
    for steps in (2 * PER_EPOCH + 2, 2 * PER_EPOCH + 3):
        found = course(tmp_path / f"at-{steps}", recipe, script, close_at=[steps])
        assert found[1:] == expected[1:]
        assert found[0].reason == expected[0].reason


# Cores


def test_how_many_cores_a_step_uses_is_recorded_and_a_run_goes_on_with_as_many(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with opened(tmp_path) as conductor:
        conductor.threads = 2
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)
        assert job.ask(lambda run: torch.get_num_threads()).result(LONG) == 2
        assert conductor.store.open(job.number).environment["threads"] == "2"
    with opened(tmp_path) as conductor:
        beside, again = conductor.submit("beside", MOONS, paused=True), conductor.resume(job.number, paused=True)
        take(beside, 1)
        assert beside.ask(lambda run: torch.get_num_threads()).result(LONG) == 1
        take(again, 1)
        assert again.ask(lambda run: torch.get_num_threads()).result(LONG) == 2
        assert again.notices == ()


def test_a_run_that_used_more_cores_than_there_are_says_that_its_last_bits_may_differ(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        conductor.threads = 2
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with opened(tmp_path) as conductor:
        again = conductor.resume(job.number, paused=True)
        (notice,) = again.notices
        assert "its last bits may differ" in notice
        assert again.threads == 1
