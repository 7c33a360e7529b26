"""Contestants keep step with each other, and with nobody else."""

import threading

import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.optimizers import Adam
from dlcore.engine import driver as driving
from dlcore.engine import loading
from dlcore.engine.driver import Driver
from dlcore.recipes import RECIPES
from tests.engine.conducting import DIVERGING
from tests.running import ENDLESS, LONG, MOONS, changed, finish, opened, settle, take
from tests.waiting import wait_until


@pytest.mark.parametrize("turn", [0.0, 0.002])
def test_contestants_never_drift_apart_by_more_than_a_turn(conductor, monkeypatch, turn):
    monkeypatch.setattr(driving, "TURN", turn)
    sizes, trail = (8, 20, 32, "all"), []
    advance, turn = Driver.advance, Driver.turn

    def watched(driver):
        advance(driver)
        trail[-1].append(driver.job.progress)

    def turned(driver, interrupted):
        # Who is given a turn must have nobody behind it.
        trail.append([min(other.progress for other in conductor.jobs if other.active), driver.job.progress])
        turn(driver, interrupted)

    monkeypatch.setattr(Driver, "advance", watched)
    monkeypatch.setattr(Driver, "turn", turned)
    fields = [(str(size), changed(MOONS, epochs=10, batch_size=size)) for size in sizes]
    racing = conductor.race(fields)
    finish(*racing)
    assert [job.history.steps for job in racing] == [150, 60, 40, 10]
    assert len({job.race for job in racing}) == 1
    assert all(behind == before for behind, before, *_ in trail)
    if turn == 0:  # then a turn is one event, and nobody is ever a longer step ahead than its own
        assert max(after[-1] - behind for behind, _, *after in trail if after) <= 1 / 10 + 1e-9


def test_nobody_starts_before_everybody_is_there(conductor, monkeypatch):
    gate, original = threading.Event(), loading.load
    monkeypatch.setattr(
        loading, "load", lambda data, *rest: (data.samples == 200 or gate.wait(LONG)) and original(data, *rest)
    )
    early, late = conductor.race([("early", MOONS), ("late", changed(MOONS, data=Moons(samples=400)))])
    wait_until(lambda: early.ready)
    # It may take the turn in which both stand at zero, and then waits.
    wait_until(lambda: early.history.steps)
    settle(early)
    steps = early.history.steps
    for _ in range(10):
        settle(early)
    assert early.history.steps == steps
    gate.set()
    finish(early, late)


@pytest.mark.usefixtures("small_digits")
def test_one_that_diverges_leaves_and_the_others_finish(conductor):
    good = changed(RECIPES["simplenet"].recipe, epochs=20)
    fields = [("a", good), ("wild", changed(DIVERGING, epochs=20)), ("b", changed(good, optimizer=Adam(lr=0.01)))]
    racing = conductor.race(fields)
    finish(*racing)
    assert [job.status for job in racing] == ["finished", "failed", "finished"]


def test_a_paused_contestant_does_not_hold_up_the_others(conductor):
    one, two = conductor.race([("one", MOONS), ("two", MOONS)], paused=True)
    one.resume()
    finish(one)
    assert two.history.steps == 0
    two.resume()
    finish(two)


def test_races_are_told_apart_and_do_not_wait_for_each_other(conductor):
    first = conductor.race([("a", ENDLESS), ("b", ENDLESS)])
    second = conductor.race([("c", MOONS), ("d", MOONS)])
    finish(*second)
    assert first[0].race != second[0].race
    assert all(job.active for job in first)


@pytest.mark.parametrize("at_once", [1, 2])
def test_contestants_that_go_on_one_by_one_do_not_wait_for_a_place_that_they_hold(tmp_path, at_once):
    with opened(tmp_path) as conductor:
        racing = conductor.race([("a", MOONS), ("b", MOONS)], paused=True)
        for job in racing:
            take(job, 1)
    with opened(tmp_path, at_once=at_once) as conductor:
        if at_once == 2:
            conductor.submit("beside", ENDLESS)
        again = [conductor.resume(job.number) for job in reversed(racing)]
        finish(*again)
        assert [job.status for job in again] == ["finished"] * 2
