"""Steering: the controls of a run under way, beside its charts."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.helpers import LONG, opened, press, under_way, well
from tests.running import ENDLESS, settle
from tests.waiting import wait_until


def rates(at: AppTest) -> list:
    """The sliders that steer a learning rate."""
    return [slider for slider in at.select_slider if slider.label == "Learning rate" and "steer" in slider.key]


@pytest.mark.usefixtures("own_process")
def test_controls_are_opened_steer_the_run_and_are_closed():
    at = opened()
    job = under_way(at)
    assert not rates(at)
    (rate,) = rates(press(at, "Steer"))
    assert rate.value == job.recipe.optimizer.lr
    well(rate.set_value(0.1).run())
    settle(job)
    assert job.recipe.optimizer.lr == 0.1
    assert rates(at)[0].value == 0.1  # still there
    assert not rates(press(at, "Steer"))


@pytest.mark.usefixtures("own_process")
def test_controls_go_with_the_run_that_they_steer():
    at = opened()
    job = under_way(at)
    assert rates(press(at, "Steer"))
    press(at, "Stop")
    assert job.wait(LONG)
    assert not rates(well(at.run()))
    assert [button.disabled for button in at.button if button.label == "Steer"] == [True]


def test_a_run_of_another_process_is_steered_beside_its_charts(elsewhere):
    job = elsewhere.submit("headless", ENDLESS)
    wait_until(lambda: job.history.steps and elsewhere.store.open(job.number).status == "training")
    (rate,) = rates(press(opened("runs", {"run": str(job.number)}), "Steer"))
    well(rate.set_value(0.1).run())
    wait_until(lambda: job.recipe.optimizer.lr == 0.1)
