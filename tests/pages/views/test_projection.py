"""The view Map: its figures, that axes are kept and t-SNE is followed, and that a point opens its sample."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from dlcore.inside.projection import Activations
from pages.parts.views import projection
from pages.parts.views.projection_charts import map_figure
from tests.pages.helpers import find, seen, well
from tests.pages.views.showing import filmed, paused, view
from tests.running import take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")
NASTY = "<b>a</b>"


def some(classes=(NASTY, "b")) -> Activations:
    return Activations("0", np.zeros((4, 5)), np.array([0, 1, 1, 0]), np.array([False, False, True, False]), classes)


def drawn(at) -> dict:
    (chart,) = at.get("plotly_chart")
    return json.loads(chart.proto.spec)


@pytest.mark.parametrize(("dimensions", "kind"), [(2, "scatter"), (3, "scatter3d")])
def test_a_point_has_the_colour_of_its_class_and_a_cross_where_it_is_wrong(dimensions, kind):
    figure = map_figure(some(), np.arange(4.0 * dimensions).reshape(4, dimensions), ["x"] * dimensions)
    go.Figure(figure)
    assert "<b>" not in json.dumps(figure)
    assert {trace["type"] for trace in figure["data"]} == {kind}
    assert [trace["customdata"] for trace in figure["data"]] == [[0, 3], [1], [2]]
    assert figure["data"][1]["marker"]["color"] == figure["data"][2]["marker"]["color"]
    assert figure["data"][2]["marker"]["symbol"] == "x"


def test_values_have_a_scale_of_colours():
    figure = map_figure(some(()), np.zeros((4, 2)), ["", ""])
    go.Figure(figure)
    assert figure["data"][0]["marker"]["showscale"]


def test_a_thousand_points_are_small_enough_to_send():
    draws = np.random.default_rng(0)
    classes = tuple(map(str, range(10)))
    found = Activations("0", np.zeros((1000, 1)), draws.integers(0, 10, 1000), draws.random(1000) < 0.1, classes)
    assert len(json.dumps(map_figure(found, draws.normal(size=(1000, 3)), ["", "", ""]))) < 60_000


def test_axes_are_fitted_once_and_can_be_fitted_anew(monkeypatch):
    job, fitted, fit = paused("two-moons"), [], projection.fit
    monkeypatch.setattr(projection, "fit", lambda values: fitted.append(1) or fit(values))
    at = well(view("projection").run())
    before = drawn(at)
    assert "of the variance" in before["layout"]["xaxis"]["title"]["text"]
    take(job, 5)
    assert drawn(well(at.run())) == before  # it is not followed
    well(find(at.toggle, "Follow the training").set_value(True).run())
    assert drawn(at) != before
    assert len(fitted) == 1
    well(find(at.button, "Lay out anew").click().run())
    assert len(fitted) == 2


def test_t_sne_is_placed_once_and_followed_from_there(monkeypatch):
    job, given = paused("two-moons"), []

    def laid(values, before, dimensions):
        given.append(before)
        return np.full((len(values), dimensions), float(len(given)), np.float32)

    monkeypatch.setattr(projection, "placed", laid)
    at = view("projection")
    at.session_state["projection-method"] = "t-sne"
    well(at.run())
    wait_until(lambda: given)
    wait_until(lambda: well(at.run()).get("plotly_chart"))
    well(find(at.toggle, "Follow the training").set_value(True).run())
    take(job, job.steps_per_epoch)
    well(at.run())
    wait_until(lambda: len(given) == 2)
    assert given[0] is None
    assert (given[1] == 1).all()


@pytest.mark.parametrize("name", ["simplenet", "two-moons", "row-lstm"])
def test_a_sample_is_opened_by_its_number(name):
    paused(name)
    at = well(view("projection").run())
    assert "Click a point" in seen(at)
    well(find(at.number_input, "Sample").set_value(4).run())
    assert "sample 4" in seen(at)


def test_three_dimensions_and_another_layer():
    paused("simplenet")
    at = well(view("projection").run())
    at.session_state["projection-dimensions"] = 3
    layers = find(at.selectbox, "Layer")
    assert layers.options == ["dense", "ReLU after dense", "output"]
    well(layers.select("4").run())  # by its place in the network
    assert drawn(at)["data"][0]["type"] == "scatter3d"


def test_of_a_frame_that_is_looked_at_the_frame_is_laid_out(monkeypatch):
    job = paused("simplenet")
    filmed(monkeypatch, job.recipe, 3)
    at = well(view("projection", epoch=2).run())
    assert drawn(at)
    assert not at.toggle


def test_too_few_samples_are_told_in_a_sentence():
    paused("linear-regression")
    assert "needs 4 validation samples" in seen(well(view("projection").run()))
