"""What one process asks of a run that another one trains. The asker has a store of its own, as another process has."""

import contextlib
import threading

import pytest

from dlcore.history import Change
from dlcore.runs.remote import Remote
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError
from tests.running import ENDLESS, LONG, MOONS, changed, finish, opened, settle, stands_still
from tests.waiting import wait_until


@pytest.fixture
def trains(tmp_path):
    """A conductor whose run others ask things of."""
    with opened(tmp_path) as conductor:
        yield conductor


@pytest.fixture
def store(trains, tmp_path):
    with contextlib.closing(Store(tmp_path)) as store:
        yield store


def asked(store, job):
    """The run as another process knows it, once it does."""
    wait_until(lambda: store.open(job.number).active)
    return Remote(store, store.open(job.number), LONG)


def test_it_is_paused_stepped_and_goes_on(trains, store):
    job = trains.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    run = asked(store, job)
    assert run.pause()
    assert job.status == "paused"
    settle(job)
    steps = job.history.steps
    assert run.step()
    wait_until(lambda: job.history.steps == steps + 1)
    assert stands_still(job)
    assert run.resume()
    wait_until(lambda: job.history.steps > steps + 10)
    assert job.status == "training"


def test_it_is_stopped(trains, store):
    job = trains.submit("moons", ENDLESS)
    assert asked(store, job).stop()
    finish(job)
    assert job.status == "stopped"


def test_it_is_steered_and_the_change_is_part_of_its_history(trains, store):
    job = trains.submit("moons", ENDLESS, paused=True)
    run = asked(store, job)
    assert run.steer({"optimizer.lr": 0.25})
    assert run.wanted.optimizer.lr == job.recipe.optimizer.lr == 0.25
    assert run.set_pace(50)
    assert job.pace == 50
    assert job.history.changes == [Change(0, "optimizer.lr", 0.25), Change(0, "pace", 50)]
    assert run.set_pace(None)
    assert job.pace is None


def test_what_cannot_be_is_refused_in_a_sentence_by_who_asks_or_by_who_trains(trains, store):
    job = trains.submit("moons", changed(MOONS, epochs=50), paused=True)
    run = asked(store, job)
    with pytest.raises(SettingsError, match="cannot change once a run has begun"):
        run.steer({"seed": 3})
    with pytest.raises(StoreError, match=r"optimizer.lr"):
        run.steer({"optimizer.lr": -1.0})
    assert job.recipe == changed(MOONS, epochs=50)


def test_nobody_is_asked_of_a_run_that_is_over(trains, store):
    job = trains.submit("moons", MOONS)
    finish(job)
    assert job.wait_saved(LONG)
    with pytest.raises(StoreError, match="is not under way, so nobody is there to pause it"):
        Remote(store, store.open(job.number)).pause()


def test_whoever_asks_need_not_wait_for_a_long_step(trains, store):
    job = trains.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: job.ready)
    run = asked(store, job)
    gate = threading.Event()
    job.ask(lambda network: gate.wait(LONG))
    assert not Remote(store, store.open(job.number), 0.1).resume()
    gate.set()
    wait_until(lambda: job.history.steps)
    assert run.stop()
