"""The pace: what is chosen for runs that begin, and shown of one under way."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from pages.parts import pace
from pages.parts.state import process
from tests.pages.helpers import LONG, go, opened, over, press, small, under_way, well
from tests.running import MOONS, settle
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")
STEPS = {"digits": 12 * 63, "two-moons": 50 * 10, "linear-regression": 1000}


def shown(at: AppTest):
    return at.select_slider(key="pace").value


def choose(at: AppTest, choice: str | int) -> AppTest:
    return well(at.select_slider(key="pace").set_value(choice).run())


@pytest.fixture
def untouched(own_process: None) -> None:
    """Nobody has chosen a pace."""
    process.chosen_in_any_tab().clear()


def test_the_pace_is_that_of_the_run_in_every_tab_and_else_the_one_that_was_chosen():
    at = opened()
    assert shown(at) == pace.FULL_SPEED
    well(at.select_slider(key="pace").set_value(20).run())
    assert shown(opened()) == 20  # as after a refresh
    job = under_way(at)
    assert (job.pace, shown(at), shown(opened())) == (20, 20, 20)
    job.set_pace(100)  # as another tab does
    settle(job)
    assert (shown(well(at.run())), shown(opened())) == (100, 100)
    well(at.select_slider(key="pace").set_value(200).run())
    settle(job)
    assert (job.pace, shown(well(at.run()))) == (200, 200)
    job.stop()
    wait_until(over, LONG)
    assert shown(well(at.run())) == 200


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(("name", "steps"), STEPS.items())
def test_a_run_is_watchable_unless_one_chooses_otherwise_and_takes_eight_seconds(name, steps):
    at = opened(address={"recipe": name})
    assert shown(at) == pace.WATCHABLE
    press(at, "Step")  # which begins a run that is paused
    (job,) = process.jobs()
    assert job.pace == pytest.approx(steps / 8)
    assert (shown(well(at.run())), shown(opened())) == (pace.WATCHABLE, pace.WATCHABLE)


@pytest.mark.usefixtures("untouched")
def test_a_watchable_run_is_not_done_sooner():
    at, recipe = opened(), change(RECIPES["two-moons"].recipe, {"epochs": 3})
    begin = time.monotonic()
    press(small(at, 3), "Start")
    (job,) = process.jobs()
    assert job.pace == pytest.approx(recipe.epochs * 10 / pace.WHOLE)
    assert job.wait(LONG)
    assert job.history.steps == 30
    assert time.monotonic() - begin > pace.WHOLE * 29 / 30  # the first step is due at once


@pytest.mark.usefixtures("untouched")
def test_a_run_under_way_can_be_made_watchable_and_be_let_go():
    at = opened()
    choose(at, 20)
    job = under_way(at, epochs=1000)
    choose(at, pace.WATCHABLE)
    settle(job)
    assert (job.pace, shown(well(at.run())), shown(opened())) == (1250, pace.WATCHABLE, pace.WATCHABLE)
    choose(at, pace.FULL_SPEED)
    settle(job)
    assert (job.pace, shown(opened())) == (None, pace.FULL_SPEED)


def test_of_two_names_for_a_pace_the_one_that_was_chosen_is_shown():
    at = opened()
    choose(at, 100)
    job = under_way(at, epochs=80)  # 800 steps in all
    assert (job.pace, shown(at), shown(opened())) == (100, 100, 100)


def test_a_run_that_no_machine_does_in_eight_seconds_is_not_refused():
    assert pace.watchable(Recipe(epochs=100_000, batch_size=1)) == 1e6
    assert pace.watchable(change(MOONS, {"epochs": 1, "batch_size": "all"})) == 1 / 8


@pytest.mark.usefixtures("untouched")
def test_tries_and_their_race_have_one_watchable_pace():
    at = go(opened(), "compare")
    small(at, 50)  # tries of 10 epochs
    press(at, "Step")
    assert {job.pace for job in process.jobs()} == {50 * 10 / 8}
    assert (shown(well(at.run())), shown(go(opened(), "compare"))) == (pace.WATCHABLE, pace.WATCHABLE)
    choose(at, 500)
    choose(at, pace.WATCHABLE)
    assert {job.pace for job in process.jobs()} == {50 * 10 / 8}
