"""The view Layers: a table of the present, small multiples over the film, and figures that plotly takes."""

import json
import math

import plotly.graph_objects as go
import pytest

from dlcore.inside.layers import Layer, Moment
from dlcore.recipes import RECIPES
from pages.parts.state import process
from pages.parts.views.layer_charts import MEASURES, height, over_time_figure
from tests.pages.helpers import seen, well
from tests.pages.views.showing import filmed, paused, view

pytestmark = pytest.mark.usefixtures("own_process")


def layer(name: str, **known) -> Layer:
    values = {"path": name, "output": (3,), "parameters": 12, "weight_norm": 1.0, "gradient_norm": 0.1}
    values |= {"update_ratio": 1e-3, "dead": 0.0, "dead_units": (), "saturated": None}
    return Layer(name, **(values | known))


def test_a_panel_stands_for_each_layer_in_which_there_is_something_to_measure():
    names = ["conv 1", "conv 2", "dense", "<b>x</b>", "output"]
    moments = [
        Moment(epoch, [layer(name, saturated=0.1 if name == "dense" else None) for name in names]) for epoch in (0, 1)
    ]
    for measure in MEASURES:
        figure = over_time_figure(3, moments, measure)
        go.Figure(figure)  # plotly itself accepts it
        json.dumps(figure)
        assert len(figure["data"]) == (1 if measure.field == "saturated" else 5)
        assert len(figure["layout"]["shapes"]) == (len(figure["data"]) if measure.band else 0)
        for axis in (name for name in figure["layout"] if name.startswith(("xaxis", "yaxis"))):
            low, high = figure["layout"][axis]["domain"]
            assert 0 <= low < high <= 1
        assert "<b>" not in json.dumps(figure)
    assert height(5) > height(4)


def test_what_is_not_known_leaves_a_gap_and_no_panel_is_higher_than_another():
    moments = [Moment(0, [layer("a", update_ratio=None)]), Moment(1, [layer("a", update_ratio=0.1)])]
    figure = over_time_figure(1, moments, MEASURES[0])
    (line,) = figure["data"]
    assert math.isnan(line["y"][0])
    assert line["y"][1] == 0.1
    assert figure["layout"]["yaxis"]["range"][0] < math.log10(3e-4)


def test_every_measure_says_how_to_read_it_and_where_it_comes_from():
    assert all("](https://" in measure.how for measure in MEASURES)


def test_a_run_under_way_is_shown_and_says_that_it_has_no_film():
    process.conductor().frames = 0
    paused("two-moons")
    at = well(view("layers").run())
    for words in ("dense 1", "dense 2", "output", "no frames are kept"):
        assert words in seen(at)


@pytest.mark.parametrize("name", ["two-moons", "linear-regression"])
def test_layers_over_a_film(monkeypatch, figures, name):
    paused(name)
    filmed(monkeypatch, RECIPES[name].recipe, 11)
    at = view("layers")
    for _ in range(3):  # eight frames at a time
        well(at.run())
    chart = figures["layers-health-chart"]
    assert [line["x"] for line in chart["data"]] == [list(range(11))] * len(chart["data"])
    (control,) = at.get("button_group")
    well(control.set_value("Dead units").run())
    assert figures["layers-health-chart"]["layout"]["yaxis"]["tickformat"] == "~%"
    assert "CS231n" in seen(at)


def test_an_epoch_that_is_not_kept_is_a_sentence():
    paused("two-moons")
    assert "is not kept" in seen(well(view("layers", epoch=7).run()))
