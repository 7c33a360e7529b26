"""The Compare page with other runs beside the race: they are drawn and listed, and change nothing of the race."""

import re
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dlcore.architectures import MLP
from dlcore.datasets import Line, Moons
from dlcore.jobs import Conductor, Job
from dlcore.losses import MeanSquaredError
from dlcore.recipe import Recipe
from dlcore.records import Stored
from dlcore.store import Store
from pages.parts import live_chart, session
from pages.parts.charts import DASHES, accuracy_figure, called, dashes, loss_figure
from tests.test_pages import find, opened, press, seen, small, well
from tests.waiting import wait_until

LONG = 120  # seconds
QUICK = Recipe(data=Moons(samples=200), model=MLP(widths=(8,)), batch_size=32, epochs=3)  # 4 steps an epoch


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Where the runs of a dashboard are that was just started."""
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    st.cache_resource.clear()
    yield tmp_path / "runs"
    session.conductor().close()
    st.cache_resource.clear()


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Conductor]:
    """Another process that trains, for all that the dashboard can see."""
    conductor = Conductor(threads=1, store=Store(root))
    yield conductor
    conductor.close()
    conductor.store.close()


@pytest.fixture
def charts(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """The figures that the page drew last, by the chart's key."""
    drawn = {}
    monkeypatch.setattr(live_chart, "live_chart", lambda figure, *, key, height: drawn.update({key: figure}))
    return drawn


def trained(conductor: Conductor, name: str = "earlier", recipe: Recipe = QUICK) -> Job:
    job = conductor.submit(name, recipe)
    assert job.wait(LONG)
    assert job._kept.wait(LONG)
    return job


def beside(at: AppTest, *numbers: int) -> AppTest:
    return well(find(at.multiselect, "Beside them").set_value(list(numbers)).run())


def race(at: AppTest) -> AppTest:
    """A small race from its start to its end."""
    small(at, epochs=2)
    well(find(at.multiselect, "Contestants").set_value(["adam", "sgd"]).run())
    press(at, "Start")
    wait_until(lambda: len(session.latest_race()) == 2 and not any(job.active for job in session.latest_race()), LONG)
    return well(at.run())


def rows(at: AppTest) -> list[list[str]]:
    """The cells of the standings, as HTML."""
    (table,) = [found.proto.body for found in at.get("html") if "standings" in found.proto.body]
    return [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", table)]


def legend(figure: dict) -> list[str]:
    return [trace["name"] for trace in figure["data"] if trace.get("showlegend", True)]


def run(number: int, steps: int = 0, name: str = "run", **known) -> Stored:
    found = Stored(number, name, QUICK, steps_per_epoch=4, **known)
    found.history.steps = steps
    return found


# --- The page


def test_with_nothing_stored_nothing_is_offered():
    assert [field.label for field in opened("compare").multiselect] == ["Contestants"]


def test_with_no_race_the_chosen_runs_are_shown_alone(elsewhere, charts):
    first, last = trained(elsewhere, "first"), trained(elsewhere, "last")
    at = opened("compare")
    assert find(at.multiselect, "Beside them").options == [called(last), called(first)]
    beside(at, first.number, last.number)
    assert [(row[0], re.sub("<.*?>", "", row[1]), row[2], row[3]) for row in rows(at)] == [
        ("–", f"first · run&nbsp;{first.number}", "finished", "3&nbsp;of&nbsp;3"),
        ("–", f"last · run&nbsp;{last.number}", "finished", "3&nbsp;of&nbsp;3"),
    ]
    for key in ("race-loss-chart", "race-accuracy-chart"):
        assert legend(charts[key]) == [called(first), called(last)]


def test_runs_beside_a_race_have_no_place_in_it(elsewhere, charts):
    other = trained(elsewhere)
    at = race(beside(opened("compare"), other.number))
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]
    assert legend(charts["race-loss-chart"]) == ["Adam", "SGD", called(other)]
    (verdict,) = [found.value for found in at.success]
    assert "came first" in verdict
    assert "earlier" not in verdict


def test_contestants_are_not_offered_beside_themselves_but_are_after_the_next_race(elsewhere):
    other = trained(elsewhere)
    at = race(opened("compare"))
    assert find(at.multiselect, "Beside them").options == [called(other)]
    before = session.latest_race()
    at = race(at)
    wait_until(lambda: called(before[0]) in find(well(at.run()).multiselect, "Beside them").options, LONG)


def test_no_more_than_four_are_taken(elsewhere):
    trained(elsewhere)
    assert find(opened("compare").multiselect, "Beside them").proto.max_selections == 4


def test_a_name_is_shown_as_it_is(elsewhere, charts):
    other = trained(elsewhere, "<b>x</b> & *y*")
    at = beside(opened("compare"), other.number)
    assert "&lt;b&gt;x&lt;/b&gt; &amp; *y*" in rows(at)[0][1]
    assert "<b>" not in seen(at)
    assert not [trace for trace in charts["race-loss-chart"]["data"] if "<b>" in trace["name"]]


def test_a_run_that_another_process_trains_goes_on_in_the_standings(elsewhere):
    job = elsewhere.submit("there", QUICK.model_copy(update={"epochs": 100_000}), pace=50)
    wait_until(lambda: job.saved_epochs > 0, LONG)
    at = beside(opened("compare"), job.number)

    def epoch() -> int:
        (cells,) = rows(well(at.run()))
        return int(cells[3].split("&nbsp;")[0])

    assert rows(at)[0][2] == "training"
    first = epoch()
    wait_until(lambda: epoch() > first, LONG)
    job.stop()
    wait_until(lambda: rows(well(at.run()))[0][2] == "stopped", LONG)


def test_a_regression_alone_has_no_accuracy_chart(elsewhere, charts):
    recipe = Recipe(data=Line(), loss=MeanSquaredError(), model=MLP(widths=(4,)), batch_size="all", epochs=3)
    other = trained(elsewhere, "line", recipe)
    at = opened("compare")
    charts.clear()
    beside(at, other.number)
    assert list(charts) == ["race-loss-chart"]
    assert "Numbers have no accuracy" in seen(at)
    assert rows(at)[0][4] == "–"


def test_a_run_of_a_newer_format_is_told_and_left_out(elsewhere):
    newer, other = trained(elsewhere, "newer"), trained(elsewhere, "other")
    sql = "UPDATE runs SET format = 99 WHERE number = ?"
    elsewhere.store._do(lambda db: db.execute(sql, [newer.number]), write=True)
    at = beside(opened("compare"), newer.number, other.number)
    assert "update dlcore" in at.warning[0].value
    assert len(rows(at)) == 1


def test_without_a_store_earlier_jobs_can_be_beside_a_race(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "a file"))
    job = session.conductor().submit("here", QUICK)
    assert job.wait(LONG)
    at = race(beside(opened("compare"), job.number))
    assert session.store() is None
    assert [row[0] for row in rows(at)] == ["1", "2", "–"]


# --- The charts


def test_two_runs_of_one_colour_are_told_apart():
    runs = [run(number) for number in (1, 2, 9, 10, 17, 25, 33)]
    assert dashes(runs) == ["solid", "solid", "dash", "dash", "dot", "dashdot", "longdash"]
    for make in (loss_figure, accuracy_figure):
        figure = make(runs[:1], runs[1:])
        go.Figure(figure)
        looks = {(trace["line"]["color"], trace["line"]["dash"]) for trace in figure["data"]}
        assert len(looks) == len(runs)
    assert len(set(DASHES)) >= 5  # a contestant and four beside it


def test_the_axis_reaches_to_the_longest_run():
    racing = run(1, steps=5, status="training")  # 12 steps to do
    ended = run(2, steps=40, status="finished")
    stopped = run(3, steps=2, status="stopped")
    going = run(4, steps=6, status="training")
    reach = lambda *runs: loss_figure(*runs)["layout"]["xaxis"]["range"][1]  # noqa: E731
    assert reach([racing], [ended]) == 40
    assert reach([racing], [stopped]) == 12
    assert reach([], [stopped]) == 2
    assert reach([], [stopped, going]) == 12


def test_runs_of_one_name_are_hidden_one_by_one():
    for make in (loss_figure, accuracy_figure):
        groups = {trace["legendgroup"] for trace in make([run(1, name="a")], [run(2, name="a")])["data"]}
        assert len(groups) == 2
