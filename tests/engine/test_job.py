"""A job from its start to its end: what it says of itself, how it is paused, stepped and paced, and its moments."""

import sys
import threading

import numpy as np
import pytest

from dlcore.engine import loading
from dlcore.engine.job import TAKEN
from dlcore.engine.training import score
from dlcore.history import History
from dlcore.settings import SettingsError
from pages.parts.charts import accuracy_figure, loss_figure
from tests.running import CRAWL, ENDLESS, LONG, MOONS, PER_EPOCH, finish, measured, settle, stands_still, take
from tests.waiting import wait_until

# Statuses


def test_a_job_prepares_trains_and_finishes(conductor, monkeypatch):
    gate = threading.Event()
    original = loading.load
    monkeypatch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
    job = conductor.submit("moons", ENDLESS)
    assert (job.status, job.active, job.ready, job.progress, job.epoch) == ("preparing", True, False, 0, 0)
    assert job.remaining is None
    gate.set()
    wait_until(lambda: job.history.steps)
    assert (job.status, job.ready, job.steps_per_epoch) == ("training", True, PER_EPOCH)
    assert job.remaining > 0
    job.stop()
    finish(job)
    short = conductor.submit("short", MOONS)
    finish(short)
    assert (short.status, short.active, short.progress, short.epoch) == ("finished", False, 1, 3)
    assert short.remaining is None
    assert [row.step for row in short.history.epochs] == [4, 8, 12]
    assert short.failure is None


def test_the_validation_targets_and_answers_are_kept(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    assert job.targets.shape == job.predicted.shape == (40,)
    assert np.mean(job.targets == job.predicted) == job.history.epochs[-1].val_accuracy


def test_stop_ends_the_run_and_keeps_what_was_learned(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: len(job.history.epochs) > 1)
    job.stop()
    finish(job)
    steps = job.history.steps
    assert job.status == "stopped"
    assert 0 < steps < job.total_steps
    assert len(job.history.losses) == steps
    assert job.ask(lambda run: score(run, run.data.test).loss).result(LONG) > 0
    assert job.history.steps == steps


def test_a_job_that_is_over_can_be_neither_resumed_nor_stepped_nor_stopped(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    for change in (job.pause, job.resume, job.step, job.stop):
        change()
    settle(job)
    assert (job.status, job.history.steps) == ("finished", job.total_steps)


def test_a_job_can_be_stopped_while_it_prepares(conductor, monkeypatch):
    gate = threading.Event()
    original = loading.load
    monkeypatch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
    job = conductor.submit("moons", ENDLESS)
    job.stop()
    finish(job)
    gate.set()
    wait_until(lambda: not any(thread.name == "loading" for thread in threading.enumerate()))
    other = conductor.submit("next", MOONS)
    finish(other)
    assert (job.status, job.history.steps, other.status) == ("stopped", 0, "finished")


# Pause, resume, step


def test_pause_holds_and_resume_goes_on(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.pause()
    assert job.status == "paused"
    settle(job)
    steps = job.history.steps
    for _ in range(20):
        settle(job)
    assert job.history.steps == steps
    job.resume()
    wait_until(lambda: job.history.steps > steps)
    assert job.status == "training"


def test_a_job_can_start_paused_and_be_stepped_once_at_a_time_to_its_end(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    settle(job)
    assert (job.status, job.history.steps) == ("paused", 0)
    for count in range(1, 3 * PER_EPOCH + 1):
        job.step()
        # A step that ends an epoch evaluates it too.
        wait_until(lambda count=count: len(job.history.epochs) == count // PER_EPOCH and job.history.steps == count)
        settle(job)
        assert (job.status == "paused") == (count < 3 * PER_EPOCH)
        assert job.history.steps == count
        assert job.epoch == (count - 1) // PER_EPOCH + 1
    assert job.status == "finished"


def test_steps_asked_for_in_a_burst_are_all_taken_and_no_more(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    for _ in range(7):  # before it is ready, and so across the first epoch's end
        job.step()
    wait_until(lambda: job.history.steps == 7)
    settle(job)
    settle(job)
    assert job.history.steps == 7


def test_step_pauses_a_job_that_trains(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.step()
    assert job.status == "paused"
    wait_until(lambda: not job.wishes.steps)
    settle(job)
    steps = job.history.steps
    settle(job)
    assert job.history.steps == steps


def test_no_step_that_is_asked_for_is_lost_or_taken_twice(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: job.ready)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [job.step() for _ in range(100)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: not job.wishes.steps)
    finally:
        sys.setswitchinterval(interval)
    settle(job)
    assert job.history.steps == 800


# Pace and clocks


def test_a_pace_keeps_a_job_active_until_full_speed_ends_it(conductor):
    job = conductor.submit("moons", MOONS, pace=CRAWL)
    wait_until(lambda: job.history.steps)
    assert job.active
    job.pause()
    settle(job)
    steps = job.history.steps
    settle(job)
    assert (job.status, job.history.steps) == ("paused", steps)
    job.resume()
    job.set_pace(None)
    finish(job)
    assert job.history.steps == 3 * PER_EPOCH


def test_the_pace_can_be_set_while_training(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.set_pace(CRAWL)
    wait_until(lambda: stands_still(job))  # the first paced steps may be due at once
    assert job.status == "training"
    steps = job.history.steps
    job.set_pace(None)
    wait_until(lambda: job.history.steps > steps + 10)


def test_the_clocks_stand_still_while_paused(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps > 10)
    job.pause()
    settle(job)
    seen = job.elapsed, job.remaining, job.steps_per_second
    for _ in range(10):
        settle(job)
    assert (job.elapsed, job.remaining, job.steps_per_second) == seen
    assert job.elapsed > 0
    job.resume()
    wait_until(lambda: job.elapsed > seen[0])


def test_the_clock_stands_still_when_the_job_is_over(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    elapsed = job.elapsed
    settle(job)
    assert job.elapsed == elapsed > 0


@pytest.mark.parametrize("pace", [0.0, -1.0, 1e-300, 1e12, float("nan")])
def test_a_pace_that_cannot_be_is_refused(conductor, pace):
    job = conductor.submit("moons", ENDLESS, paused=True)
    for ask in (
        lambda: conductor.submit("other", MOONS, pace=pace),
        lambda: conductor.race([("a", MOONS), ("b", MOONS)], pace=pace),
        lambda: job.set_pace(pace),
    ):
        with pytest.raises(SettingsError, match="it takes from 1e-06 to 1,000,000 steps a second, or none"):
            ask()
    assert conductor.jobs == [job]
    assert job.pace is None


# Moments: as they were, whatever the run does afterwards


def test_a_moment_is_like_its_run(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, 9)
    moment = job.now()
    for name in (*TAKEN, "recipe", "epoch", "total_steps", "progress", "active"):
        assert getattr(moment, name) is getattr(job, name) or getattr(moment, name) == getattr(job, name), name
    assert measured(moment.history) == measured(job.history)
    assert moment.history.best == job.history.best


def test_a_moment_stays_while_the_run_goes_on(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, 6)
    moment = job.now()
    before = measured(moment.history), loss_figure([moment]), accuracy_figure([moment]), moment.elapsed
    job.resume()
    wait_until(lambda: job.history.steps > 5000, LONG)  # so many that the curve lays its stretches together
    assert (measured(moment.history), loss_figure([moment]), accuracy_figure([moment]), moment.elapsed) == before
    assert (moment.history.steps, moment.status) == (6, "paused")


def test_moments_taken_while_it_trains_agree_with_themselves(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.epochs, LONG)
    for _ in range(100):
        history = job.now().history
        rows = list(history.epochs)
        assert history.steps == len(history.losses) >= rows[-1].step
        assert history.best in rows
        assert [row.epoch for row in rows] == list(range(1, len(rows) + 1))
    job.stop()
    settle(job)


def test_a_frozen_history_is_thinned_as_the_history_itself():
    losses = np.random.default_rng(0).random(10_000, dtype=np.float32)
    history = History(losses)
    frozen = history.frozen()
    for measure in (lambda curve: curve.thin(400), lambda curve: curve.means(200)):
        expected = measure(history.step_losses)
        history.extend(losses, [])
        np.testing.assert_array_equal(measure(frozen.step_losses), expected)
        history = History(losses)
