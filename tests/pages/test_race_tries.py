"""Learning rates are tried before a race."""

import threading

import pytest

from dlcore.studies import tries
from pages.parts.state import process
from tests.pages.helpers import LONG, enabled, find, opened, press, seen, small, well
from tests.pages.racing import bar, give, race, raced, rates, restart
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_the_best_of_three_are_tried_first_and_told_and_kept(root, figures):
    at = race(opened("compare"), "best", epochs=10)
    names = [row["name"] for row in reversed(process.store().rows())]
    assert names == [*(f"Adam, rate {rate}" for rate in ("0.0001", "0.001", "0.01")),
                     *(f"SGD, rate {rate}" for rate in ("0.001", "0.01", "0.1")), "Adam", "SGD"]  # fmt: skip
    tuning = tries.tuning(process.conductor())
    text = seen(at).replace("\\", "")
    for job in process.latest_race():
        (best,) = [one for one in tuning.tries[job.name] if one.won]
        assert job.first_recipe.optimizer.lr == best.rate
        assert f"{job.name}: {tuning.told(job.name)}" in text
    told = [tuning.told(name) for name in ("Adam", "SGD")]
    restart()
    text = seen(opened("compare")).replace("\\", "")
    assert all(sentence in text for sentence in told)


def test_the_bar_never_falls_from_the_first_try_to_the_end_of_the_race(monkeypatch):
    conductor, gate, came = process.conductor(), threading.Semaphore(0), []
    begin = conductor.race

    def held(*arguments, **how):
        came.append(1)
        assert gate.acquire(timeout=LONG)
        return begin(*arguments, **how | {"paused": True})

    monkeypatch.setattr(conductor, "race", held)
    at = small(opened("compare"), epochs=10)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    gate.release()
    press(at, "Start")
    bars = [bar(well(at.run()))]
    tuning = tries.tuning(conductor)
    for count in (2, 3):
        stage = tuning.stage
        for job in stage.jobs:
            job.resume()
        wait_until(lambda count=count: len(came) == count, LONG)  # what went before is over
        bars.append(bar(well(at.run())))
        gate.release()
        wait_until(lambda before=stage: tuning.stage is not before, LONG)
        wait_until(lambda: all(job.ready for job in process.latest_race()), LONG)
        bars.append(bar(well(at.run())))
    assert [text.split(" · ")[:2] for _, text in bars] == [
        ["**paused**", "trying learning rates: Adam at 0.0001, 0.001, 0.01"],
        ["**preparing**", "learning rates are tried: Adam"],
        ["**paused**", "trying learning rates: SGD at 0.001, 0.01, 0.1"],
        ["**preparing**", "learning rates are tried: SGD"],
        ["**paused**", "epoch 0 of 10"],
    ]
    assert [value for value, _ in bars] == [0, 18, 18, 37, 37]  # three tries of 2 epochs each, and a race of 20
    assert "38% of tries and race" in bars[-1][1]
    for job in process.latest_race():
        job.resume()
    wait_until(raced, LONG)
    assert bar(well(at.run()))[0] == 100


def test_a_page_that_is_closed_meanwhile_leaves_the_race_on_its_way():
    at = small(opened("compare"), epochs=10)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    press(at, "Start")
    del at
    wait_until(raced, LONG)
    assert [job.name for job in process.latest_race()] == ["Adam", "SGD"]


def test_stop_ends_the_tries_and_there_is_no_race():
    at = small(opened("compare"), epochs=100_000)
    press(at, "Start")
    wait_until(lambda: process.latest_race()[0].ready, LONG)
    assert "trying learning rates: SGD at 0.001, 0.01, 0.1 · contestant 1 of 4 · epoch" in seen(well(at.run()))
    press(at, "Stop")
    wait_until(lambda: not tries.tuning(process.conductor()).going, LONG)
    assert [job.name for job in process.jobs()] == [f"SGD, rate {rate}" for rate in ("0.001", "0.01", "0.1")]
    assert "Start" in enabled(well(at.run()))
    assert "stopped while learning rates were tried" in at.info[0].value
    assert not at.success


def test_nothing_can_be_started_while_rates_are_tried(monkeypatch):
    at = small(opened("compare"), epochs=100_000)
    press(at, "Start")
    tuning = tries.tuning(process.conductor())
    monkeypatch.setattr(process, "latest_race", lambda: [])  # as between two tries
    assert not enabled(opened("compare")) & {"Start", "Step"}
    assert tuning.going


def test_a_rate_that_a_contestant_is_given_is_not_tried(figures):
    at = give(opened("compare"), "Optimizer/sgd", "select_slider", "Learning rate", 0.05)
    assert rates(at)["SGD"] == "0.05"
    race(at, "best", epochs=5)
    assert [row["name"] for row in reversed(process.store().rows())] == [
        *(f"Adam, rate {rate}" for rate in ("0.0001", "0.001", "0.01")), "Adam", "SGD",
    ]  # fmt: skip
    assert process.jobs()[-1].first_recipe.optimizer.lr == 0.05
