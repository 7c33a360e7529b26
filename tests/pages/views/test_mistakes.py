"""The view Mistakes: its figures, and what it shows of classes, of numbers, of a film and of two runs."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.inside.mistakes import Calibration, Known, Mistakes, Residuals
from dlcore.recipes import RECIPES
from pages.parts.views.mistake_charts import (
    calibration_figure,
    cells_figure,
    classes_figure,
    points_figure,
    residual_figure,
)
from pages.parts.views.samples import strip
from tests.pages.helpers import find, seen, well
from tests.pages.views.showing import filmed, paused, view

pytestmark = pytest.mark.usefixtures("own_process")
NASTY = "<b>a</b>"


def accepted(figure: dict) -> dict:
    """The figure, which plotly accepts and which holds no markup of a name."""
    go.Figure(figure)
    assert "<b>" not in json.dumps(figure)
    return figure


def test_each_cell_can_be_clicked_and_knows_its_place():
    heat, marks = accepted(cells_figure(np.array([[3, 1], [0, 2]]), [NASTY, "b"]))["data"]
    assert heat["text"] == [[3, 1], [0, 2]]
    assert marks["customdata"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert (marks["x"][1], marks["y"][1]) == ("b", heat["y"][0])


def test_bars_of_the_calibration_are_bins_that_have_samples():
    edges = np.linspace(0, 1, 4)
    nan = float("nan")
    found = Calibration(edges, np.array([0, 2, 8]), np.array([nan, 0.5, 0.9]), np.array([nan, 0.5, 1.0]), 0.08)
    bars, exact = accepted(calibration_figure(1, found))["data"]
    assert bars["x"] == pytest.approx([0.5, 5 / 6], abs=1e-4)
    assert bars["y"] == [0.5, 1.0]
    assert exact["x"] == exact["y"]


def test_other_figures_are_plotlys_and_escape_names():
    known = [Known(epoch, np.array([0.5, np.nan])) for epoch in (1, 2)]
    assert len(accepted(classes_figure(1, known, [NASTY, "b"]))["data"]) == 2
    zeros, targets = np.zeros(3), np.array([0, 1, 1])
    found = Mistakes(Moons(), (NASTY, "b"), targets, np.array([0, 0, 1]), zeros, zeros, np.eye(2), None, 3)
    figure = accepted(points_figure(1, found, np.arange(6.0).reshape(3, 2), [1]))
    assert [trace["x"] for trace in figure["data"]] == [[0.0], [None], [4.0], [2.0], [2.0]]
    numbers = Residuals(np.array([[1.0], [2.0]]), np.array([[0.5], [3.0]]), np.array([0.25, 1.0]), 2)
    assert accepted(residual_figure(1, numbers, NASTY))["data"][0]["y"] == [0.5, -1.0]


def test_pictures_stand_with_their_words_escaped():
    made = strip(np.zeros((2, 4, 4, 3), np.uint8), [(NASTY, "b"), ("c", "d")])
    assert made.count("<img") == 2
    assert "<b>" not in made


def test_pictures_of_the_worst_and_of_a_cell():
    paused("simplenet")
    at = well(view("mistakes").run())
    assert "validation samples are wrong" in seen(at)
    assert seen(at).count("<img") == 24
    choice = find(at.selectbox, "Samples")
    cell = choice.options[1]
    well(choice.select_index(1).run())
    shown = [found.proto.body for found in at.get("html") if "<img" in found.proto.body]
    assert 1 <= shown[0].count("<img") <= 24
    assert len(json.dumps(shown)) < 40_000
    target = cell.split(" ")[0]
    assert shown[0].count(f"is {target}<br>") == shown[0].count("<img")


def test_points_are_shown_with_their_mistakes(figures):
    paused("two-moons")
    well(view("mistakes").run())
    assert {"mistakes-points", "mistakes-calibration"} <= figures.keys()
    assert sum(len(trace["x"]) for trace in figures["mistakes-points"]["data"][:4] if trace["x"] != [None]) == 200


def test_numbers_have_errors_instead(figures):
    paused("linear-regression")
    at = well(view("mistakes").run())
    assert "near or far" in seen(at)
    assert "mistakes-residuals" in figures
    assert not at.selectbox


def test_classes_over_a_film(monkeypatch, figures):
    paused("two-moons")
    filmed(monkeypatch, RECIPES["two-moons"].recipe, 11)
    at = view("mistakes")
    for _ in range(3):
        well(at.run())
    assert [line["x"] for line in figures["mistakes-classes"]["data"]] == [list(range(11))] * 2


def test_two_runs_are_set_side_by_side():
    paused("two-moons")
    paused("two-moons", seed=1)
    at = well(view("mistakes", function="versus", count=2).run())
    assert "that only run 1 gets right" in seen(at)
    assert "that only run 2 gets right" in seen(at)


@pytest.mark.parametrize(
    ("name", "sentence"), [("simplenet", "different samples"), ("linear-regression", "near or far")]
)
def test_runs_that_cannot_be_set_side_by_side_are_a_sentence(name, sentence):
    paused("two-moons")
    paused(name)
    assert sentence in seen(well(view("mistakes", function="versus", count=2).run()))
