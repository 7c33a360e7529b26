"""The line of runs under way, and runs that wait their turn."""

import time

import pytest

from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from pages.parts import panels
from pages.parts.state import process, tab
from tests.pages.helpers import LONG, enabled, find, opened, over, press, seen, small, under_way, well
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_the_line_of_runs_is_there_before_the_first_one():
    """So that charts stand where they are when a run comes."""
    at = opened()
    (line,) = at.pills
    assert (line.disabled, line.options) == (True, [f"{DEFAULT} · not started"])
    under_way(at)
    (line,) = at.pills
    assert (line.disabled, line.options) == (False, [f"{panels.escape(process.jobs()[0].name)} · run 1"])


def test_another_tab_shows_what_trains_rather_than_what_is_over():
    process.store()
    going = process.conductor().submit("going", RECIPES["two-moons"].recipe, paused=True)
    over_ = process.conductor().submit("over", Recipe(epochs=1))
    wait_until(lambda: going.ready and not over_.active, LONG)
    at = well(opened())
    assert enabled(at) >= {"Resume", "Stop"}
    assert find(at.selectbox, "Recipe").value == "two-moons"
    going.stop()
    wait_until(lambda: not going.active, LONG)
    assert tab.shown_run() is going  # and what a person looks at stays when it is over


def test_what_is_queued_waits_its_turn_and_keeps_the_pace():
    at = opened()
    first = under_way(at)
    well(at.select_slider(key="pace").set_value(20).run())
    press(at, "Queue")
    second = process.jobs()[-1]
    assert second is not first
    assert (second.status, second.pace) == ("queued", 20)
    assert tab.shown_run() is first
    other = process.conductor().submit("not in turn", RECIPES["two-moons"].recipe, paused=True)
    wait_until(lambda: other.ready, LONG)
    assert second.status == "queued"
    first.stop()
    wait_until(lambda: not first.active, LONG)
    assert second.status == "queued"
    other.stop()
    wait_until(lambda: second.ready, LONG)


def test_queue_counts_two_quick_clicks_as_one_whatever_the_clock_says(monkeypatch):
    at = opened()
    under_way(at)
    now, clock = time.time(), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)  # however slow the machine, they are quick
    press(at, "Queue")
    press(at, "Queue")
    assert len(process.jobs()) == 2
    monkeypatch.setattr(time, "time", lambda: now - 3600)  # somebody sets the clock
    monkeypatch.setattr(time, "monotonic", lambda: clock + 10)
    press(at, "Queue")
    assert len(process.jobs()) == 3


def test_the_bar_tells_which_run_is_shown_and_how_it_stands():
    at = opened()
    job = under_way(at)
    assert f"<p>Run {job.number} · {job.name} · paused</p>" in seen(at)
    press(at, "Stop")
    assert job.wait(LONG)
    assert f"<p>Run {job.number} · {job.name} · stopped</p>" in seen(well(at.run()))


def test_settings_that_were_changed_are_told_to_make_the_run_that_they_make():
    at = press(small(opened()), "Start")
    wait_until(over, LONG)
    assert "Settings changed" not in seen(well(at.run()))
    for number in (2, 3):
        small(at, 3 + number)
        assert f"Settings changed: **Start** makes run {number}." in seen(at)
        press(at, "Start")
        assert process.jobs()[-1].number == number
        wait_until(over, LONG)
        well(at.run())
