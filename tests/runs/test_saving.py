"""Runs are saved while they train, in time, and until they are over."""

import contextlib
import threading

import pytest

from dlcore.engine.conductor import Conductor
from dlcore.history import History
from dlcore.runs import saving
from dlcore.runs.records import Stored
from dlcore.runs.saving import Saver
from dlcore.runs.store import Store
from tests.running import (
    CRAWL,
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    changed,
    finish,
    measured,
    take,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")


def test_a_finished_run_is_saved_whole_and_let_go(conductor, store):
    job = conductor.submit("moons", DROPPING)
    finish(job)
    assert job.wait_saved(LONG)
    assert (job.saved_epochs, job.trouble) == (DROPPING.epochs, "")
    with contextlib.closing(Store(store.root)) as other:
        found = other.open(job.number)
        assert measured(found.history) == measured(job.history)
        assert (found.status, found.name, found.first_recipe) == ("finished", "moons", DROPPING)
        assert (found.elapsed, found.stepping) == (job.elapsed, job.stepping)
        assert found.history.rows() == job.history.rows()
        other.hold(job.number)  # nobody holds it any more


def test_a_run_is_saved_within_an_epoch_too(conductor, store):
    job = conductor.submit("moons", ENDLESS, pace=CRAWL)
    wait_until(lambda: store.rows()[0]["status"] == "training" and store.open(job.number).history.steps)
    assert store.open(job.number).history.epochs == []


def test_the_status_is_saved_as_it_changes(conductor, store):
    job = conductor.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: store.rows()[0]["status"] == "paused")
    job.resume()
    wait_until(lambda: store.rows()[0]["status"] == "training")
    job.stop()
    wait_until(lambda: store.rows()[0]["status"] == "stopped")


def test_epochs_that_come_fast_are_saved_together(conductor, store, monkeypatch):
    calls, save = [], Store.save
    monkeypatch.setattr(Store, "save", lambda self, *rest: calls.append(rest) or save(self, *rest))
    monkeypatch.setattr(saving, "GAP", LONG)  # all of them come fast
    job = conductor.submit("line", changed(MOONS, batch_size="all", epochs=200))
    finish(job)
    conductor.close()  # and what is left is saved
    assert job.wait_saved(0)
    assert len(calls) <= 4  # each is a write to the disk
    assert len(store.open(job.number).history.epochs) == 200
    assert {199, 200, job.history.best.epoch} <= set(store.epochs_kept(job.number))


def test_a_failed_run_is_saved_with_what_went_wrong(conductor, store):
    job = conductor.submit("moons", DROPPING, paused=True)
    take(job, 5)
    job.ask(lambda run: run.model.register_forward_pre_hook(lambda *_: 1 / 0)).result(LONG)
    job.resume()
    finish(job)
    assert job.wait_saved(LONG)
    found = store.open(job.number)
    assert (found.status, found.failure) == ("failed", job.failure)
    assert "ZeroDivisionError" in found.failure.traceback
    assert [kept[:2] for kept in store.checkpoints(job.number)] == [(1, 0)]  # what it held last is of no use


@pytest.mark.parametrize("steps", [0, 1, 4, 6])
def test_a_stopped_run_keeps_the_place_where_it_was(conductor, store, steps):
    job = conductor.submit("moons", DROPPING, paused=True)
    take(job, steps)
    job.stop()
    finish(job)
    assert job.wait_saved(LONG)
    places = [kept[:2] for kept in store.checkpoints(job.number)]
    assert places == {0: [], 1: [(0, 1)], 4: [(1, 0)], 6: [(1, 2), (1, 0)]}[steps]
    assert store.open(job.number).status == "stopped"
    assert store.open(job.number).history.steps == steps


def test_nothing_is_saved_after_a_run_was_let_go(tmp_path):
    """Another process may train it by then."""
    calls, over = [], threading.Event()

    class Watched(Store):
        def save(self, record, found=()):
            assert record.number in self._locks, "saved by one who does not hold it"
            calls.append(record.status)
            super().save(record, found)

    watched = Watched(tmp_path)
    run = Stored(0, "moons", MOONS, History(), status="training")
    run.number = watched.create(run)
    watched.hold(run.number)
    saver = Saver(watched, lambda run, epochs, trouble, done: over.set() if done else None)
    saver.save(run)
    wait_until(lambda: calls)
    run.status = "finished"  # it is over, but has more to hand in
    wait_until(lambda: "finished" in calls)
    assert not over.is_set()
    saver.save(run, last=True)
    assert over.wait(LONG)
    assert list(watched._locks) == []
    before = len(calls)
    saver.close()
    assert len(calls) == before
    watched.close()


def test_without_a_store_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    conductor = Conductor(threads=1)
    job = conductor.submit("moons", MOONS)
    finish(job)
    conductor.close()
    assert not (tmp_path / "runs").exists()
    assert job.status == "finished"


def test_a_run_that_ends_while_it_waits_to_be_saved_does_not_end_the_saving_of_the_others(monkeypatch):
    monkeypatch.setattr(saving, "EVERY", LONG)  # only what is due is saved
    first, second = Stored(1, "first", MOONS), Stored(2, "second", MOONS)
    over = []

    class Ends:
        """A store while whose saving of the first run the second one ends."""

        def save(self, run, found):
            if run is first and second not in over:
                saver.save(second, last=True)

        def release(self, number):
            pass

    saver = Saver(Ends(), lambda run, epochs, trouble, done: over.append(run) if done else None)
    with saver._wakeup:  # both are due at once
        saver.save(first)
        saver.save(second)
    wait_until(lambda: second in over and not saver._due)
    saver.save(first, last=True)
    wait_until(lambda: first in over)
    saver.close()


def test_whoever_has_something_to_save_does_not_wait_for_the_store(conductor, store, monkeypatch):
    """Neither while it writes nor while it lets go of a run."""
    asked, go_on = threading.Event(), threading.Event()
    release = store.release

    def slow(number):
        asked.set()
        go_on.wait(LONG)
        release(number)

    monkeypatch.setattr(store, "release", slow)
    finish(conductor.submit("moons", MOONS))
    assert asked.wait(LONG)
    other = conductor.submit("other", MOONS)  # whose thread would wait for ever, if it had to
    finish(other)
    assert not go_on.is_set()
    go_on.set()
    assert other.wait_saved(LONG)
