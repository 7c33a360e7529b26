"""Runs side by side in charts are told apart."""

import plotly.graph_objects as go

from dlcore.runs.records import Stored
from pages.parts.charts import accuracy_figure, loss_figure
from pages.parts.run_looks import DASHES, dashes
from tests.pages.racing import QUICK


def run(number: int, steps: int = 0, name: str = "run", **known) -> Stored:
    found = Stored(number, name, QUICK, steps_per_epoch=4, **known)
    found.history.steps = steps
    return found


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
