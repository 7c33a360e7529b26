"""The view Surfaces: optimizers with their sliders on a function that is chosen, from a start that is clicked."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.inside.surfaces import SURFACES
from pages.parts.views import surfaces
from tests.pages.helpers import LONG, choose, find, seen, well

pytestmark = pytest.mark.usefixtures("own_process")


def script() -> None:
    from pages.parts.views.surfaces import show

    show()


@pytest.fixture
def at() -> AppTest:
    return well(AppTest.from_function(script, default_timeout=LONG).run())


def lines(at: AppTest) -> dict[str, dict]:
    (chart,) = at.get("plotly_chart")
    return {trace["name"]: trace for trace in json.loads(chart.proto.spec)["data"] if trace.get("mode") == "lines"}


def test_the_usual_optimizers_walk_from_the_usual_start(at):
    found = lines(at)
    assert list(found) == ["SGD", "RMSprop", "Adam"]
    assert SURFACES["rosenbrock"].source in seen(at)
    assert "Start: -1.5, 2." in seen(at)


@pytest.mark.parametrize("name", SURFACES)
def test_every_function_can_be_chosen(at, name):
    choose(at, "Function", name)
    assert SURFACES[name].about in seen(at)
    assert len(lines(at)) == 3


def test_a_rate_that_is_too_large_is_told_of(at):
    choose(at, "Function", "ravine")
    well(find(at.multiselect, "Optimizers").set_value(["sgd"]).run())
    well(find(at.select_slider, "Learning rate").set_value(1.0).run())
    assert "was stopped" in seen(at)


def test_a_click_sets_the_start(at, monkeypatch):
    kept = {}
    monkeypatch.setattr(surfaces, "keep", lambda key, value: kept.update({key: value}))
    surfaces._set_start("ravine", {"selection": {"points": [{"x": 1.0, "y": -1.5}]}})
    surfaces._set_start("ravine", {"selection": {"points": []}})  # a click beside
    assert kept == {"surfaces/start/ravine": (1.0, -1.5)}
