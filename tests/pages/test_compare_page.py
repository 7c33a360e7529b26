"""The Compare page: a race and the runs beside it, and what is left of a race that is over."""

import re

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Line
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.studies import races
from pages.parts.run_looks import called
from pages.parts.state import process
from tests.pages.helpers import (
    LONG,
    choose,
    enabled,
    find,
    go,
    opened,
    over,
    press,
    seen,
    small,
    told,
    well,
)
from tests.pages.racing import (
    QUICK,
    beside,
    legend,
    race,
    restart,
    rows,
    trained,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_a_race_runs_to_its_verdict_and_the_field_is_remembered():
    at = small(opened("compare"), epochs=2)
    well(at.multiselect[0].set_value(["adam", "sgd"]).run())
    choose(at, "Learning rates", "own")
    press(at, "Start")
    assert [job.name for job in process.jobs()] == ["Adam", "SGD"]
    wait_until(over, LONG)
    well(at.run())
    assert "samples right after 2 epochs" in seen(at)
    assert all(name in seen(at) for name in ("Adam", "SGD"))
    go(go(at, "draw"), "compare")
    assert at.multiselect[0].value == ["adam", "sgd"]
    assert "samples right after 2 epochs" in seen(at)


def test_with_nothing_stored_nothing_is_offered():
    assert [field.label for field in opened("compare").multiselect] == ["Contestants"]


def test_with_no_race_the_chosen_runs_are_shown_alone(elsewhere, figures):
    first, last = trained(elsewhere, "first"), trained(elsewhere, "last")
    at = opened("compare")
    assert find(at.multiselect, "Beside them").options == [called(last), called(first)]
    beside(at, first.number, last.number)
    assert [(row[0], re.sub("<.*?>", "", row[1]), *row[2:5]) for row in rows(at)] == [
        ("–", f"first · run&nbsp;{first.number}", "0.001", "finished", "3&nbsp;of&nbsp;3"),
        ("–", f"last · run&nbsp;{last.number}", "0.001", "finished", "3&nbsp;of&nbsp;3"),
    ]
    for key in ("race-loss-chart", "race-accuracy-chart"):
        assert legend(figures[key]) == [called(first), called(last)]


def test_runs_beside_a_race_have_no_place_in_it(elsewhere, figures):
    other = trained(elsewhere)
    at = race(beside(opened("compare"), other.number))
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]
    assert legend(figures["race-loss-chart"]) == ["Adam · rate 0.001", "SGD · rate 0.01", called(other)]
    (verdict,) = [found.value for found in at.success]
    assert "samples right after 2 epochs" in verdict
    assert "earlier" not in verdict


def test_contestants_are_not_offered_beside_themselves_but_are_after_the_next_race(elsewhere):
    other = trained(elsewhere)
    at = race(opened("compare"))
    assert find(at.multiselect, "Beside them").options == [called(other)]
    before = process.latest_race()
    at = race(at)
    wait_until(lambda: called(before[0]) in find(well(at.run()).multiselect, "Beside them").options, LONG)


def test_no_more_than_four_are_taken(elsewhere):
    trained(elsewhere)
    assert find(opened("compare").multiselect, "Beside them").proto.max_selections == 4


def test_a_name_is_shown_as_it_is(elsewhere, figures):
    other = trained(elsewhere, "<b>x</b> & *y*")
    at = beside(opened("compare"), other.number)
    assert "&lt;b&gt;x&lt;/b&gt; &amp; *y*" in rows(at)[0][1]
    assert "<b>" not in seen(at)
    assert not [trace for trace in figures["race-loss-chart"]["data"] if "<b>" in trace["name"]]


def test_a_run_that_another_process_trains_goes_on_in_the_standings(elsewhere):
    job = elsewhere.submit("there", QUICK.model_copy(update={"epochs": 100_000}), pace=50)
    wait_until(lambda: job.saved_epochs > 0, LONG)
    at = beside(opened("compare"), job.number)

    def epoch() -> int:
        (cells,) = rows(well(at.run()))
        return int(cells[4].split("&nbsp;")[0])

    assert rows(at)[0][3] == "training"
    first = epoch()
    wait_until(lambda: epoch() > first, LONG)
    job.stop()
    wait_until(lambda: rows(well(at.run()))[0][3] == "stopped", LONG)


def test_a_regression_alone_has_no_accuracy_chart(elsewhere, figures):
    recipe = Recipe(data=Line(), loss=MeanSquaredError(), model=MLP(widths=(4,)), batch_size="all", epochs=3)
    other = trained(elsewhere, "line", recipe)
    at = opened("compare")
    figures.clear()
    beside(at, other.number)
    assert list(figures) == ["race-loss-chart"]
    assert "Numbers have no accuracy" in seen(at)
    assert rows(at)[0][5] == "–"


def test_a_run_of_a_newer_format_is_told_and_left_out(elsewhere):
    newer, other = trained(elsewhere, "newer"), trained(elsewhere, "other")
    sql = "UPDATE runs SET format = 99 WHERE number = ?"
    elsewhere.store.database.write(lambda db: db.execute(sql, [newer.number]))
    at = beside(opened("compare"), newer.number, other.number)
    assert "update dlcore" in at.warning[0].value
    assert len(rows(at)) == 1


def test_without_a_store_earlier_jobs_can_be_beside_a_race(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "a file"))
    job = process.conductor().submit("here", QUICK)
    assert job.wait(LONG)
    at = race(beside(opened("compare"), job.number))
    assert process.store() is None
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]


def test_what_contestants_share_outlives_a_refresh():
    at = small(opened("compare"), epochs=7)
    assert (at.query_params["data"], at.query_params["epochs"]) == ("moons", "7")
    again = opened_at(dict(at.query_params))
    assert find(again.selectbox, "Recipe").value == "two-moons"
    assert find(again.number_input, "Epochs").value == 7
    assert again.query_params == at.query_params


def test_what_a_link_to_a_race_asks_for_and_cannot_have_is_told():
    at = opened_at({"data": "moons", "epochs": "0"})
    assert "This link asks for what cannot be had" in told(at)
    assert "Start" in enabled(at)


def opened_at(address: dict[str, str]) -> AppTest:
    at = opened()
    at.query_params = address
    return well(at.switch_page("pages/compare.py").run())


def test_a_contestant_that_is_let_go_stays_in_its_race(figures):
    at = race(opened("compare"))
    first, second = races.ranking(process.latest_race())
    assert first.wait_saved(LONG)
    assert second.wait_saved(LONG)
    process.conductor().forget(first.number)
    for _ in range(2):
        assert [(row[0], re.sub("<.*?>", "", row[1])) for row in rows(well(at.run()))] == [
            ("1", first.name),
            ("2", second.name),
        ]
        assert f"{first.name} came first" in at.success[0].value
        process.conductor().forget(second.number)
    assert not process.jobs()
    assert len(legend(figures["race-loss-chart"])) == 2


def test_the_last_race_is_there_again_after_a_restart():
    race(opened("compare"))
    names = [job.name for job in process.latest_race()]
    restart()
    at = opened("compare")
    assert [run.name for run in process.latest_race()] == names
    assert [row[0] for row in rows(at)] == ["1", "2"]
    assert "came first" in at.success[0].value
    assert "equally good networks" not in at.success[0].value
    assert not enabled(at) & {"Pause", "Stop"}
    race(at)
    assert all(isinstance(run, Job) for run in process.latest_race())


def test_a_contestant_that_goes_on_is_still_in_its_race():
    at = race(opened("compare"))
    first, second = process.latest_race()
    restart()
    job = process.conductor().resume(first.number, {"epochs": 100_000})
    job.race = first.race  # as the conductor keeps it
    assert [run.number for run in process.latest_race()] == [first.number, second.number]
    at = opened("compare")
    assert len(rows(at)) == 2
    assert not at.success  # the race is on
    press(at, "Stop")
    assert job.wait(LONG)
    assert "came first" in well(at.run()).success[0].value
