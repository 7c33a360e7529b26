"""Turns and speed: how the conductor's thread drives a run, and what it tells of that."""

import threading
import time

import pytest

from dlcore.engine import driver as driving
from dlcore.engine.driver import Driver
from tests.running import ENDLESS, LONG, MOONS, PER_EPOCH, changed, finish, take
from tests.waiting import wait_until


def test_turns_are_fair_by_the_time_that_is_used(conductor, monkeypatch):
    """A network of a moment's step beside one whose step takes as long as ten turns."""
    advance = Driver.advance

    def slow(driver):
        end = time.monotonic() + 10 * driving.TURN
        advance(driver)
        while driver.job.name == "large" and time.monotonic() < end:
            pass

    monkeypatch.setattr(Driver, "advance", slow)
    large, small = conductor.submit("large", ENDLESS), conductor.submit("small", ENDLESS)
    wait_until(lambda: small.history.steps)
    begun = large.history.steps
    wait_until(lambda: large.history.steps > begun + 10)
    assert small.driver.used > large.driver.used / 2


def test_the_speed_is_what_a_person_gets(conductor):
    job = conductor.submit("moons", ENDLESS, pace=20.0)
    wait_until(lambda: job.history.steps > 40)
    assert 0 < job.steps_per_second < 25  # not the hundreds that it would do
    job.set_pace(None)
    finish_line = job.history.steps + 400
    wait_until(lambda: job.history.steps > finish_line)
    job.stop()
    finish(job)
    assert job.steps_per_second == pytest.approx(job.history.steps / job.elapsed)


def test_an_epochs_speed_counts_the_time_in_which_it_evaluates_and_waits(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    row = job.history.epochs[0]
    assert 0 < row.steps_per_second <= PER_EPOCH / row.seconds


def test_a_run_never_has_fewer_epochs_than_have_begun(conductor, monkeypatch):
    """Epochs go by between the click and the step at which it holds."""
    job = conductor.submit("moons", changed(MOONS, epochs=50), paused=True)
    take(job, 4 * PER_EPOCH + 1)
    asked, go_on = threading.Event(), threading.Event()
    hear = Driver.hear

    def late(driver):
        asked.set()
        go_on.wait(LONG)
        with driver.trainer.own_random():
            while job.history.steps < 6 * PER_EPOCH:
                driver.advance()
        hear(driver)

    monkeypatch.setattr(Driver, "hear", late)
    job.steer({"epochs": 5})
    assert asked.wait(LONG)
    go_on.set()
    job.resume()
    finish(job)
    assert job.status == "finished"
    assert len(job.history.epochs) == job.recipe.epochs == 6
    assert job.notices == ("Epoch 6 had begun when the epochs were set to 5: it is the last.",)
