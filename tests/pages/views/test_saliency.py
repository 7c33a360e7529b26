"""The view Saliency: its pictures, and what it shows of pictures, of features, of a drawing and of what it cannot."""

import base64
import io
import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from dlcore.inside.saliency import Saliency
from pages.parts.views.saliency_pictures import MOST_BARS, bars_figure, maps_html, overlay
from tests.pages.helpers import LONG, find, seen, well
from tests.pages.views.showing import filmed, paused, view

pytestmark = pytest.mark.usefixtures("own_process")
NASTY = "<b>a</b>"


def found(values, raw) -> Saliency:
    return Saliency("gradient", values, values / 2, 0.5, 0, np.array([0.9, 0.1]), 1.0, raw, 10)


def test_what_speaks_for_is_blue_what_speaks_against_is_orange_and_nothing_cannot_be_seen():
    made = overlay(np.array([[2.0, -1.0, 0.0]]), np.zeros((1, 1, 3)))
    assert made[0].tolist() == [[35, 129, 196, 255], [230, 159, 0, 128], [0, 0, 0, 0]]


def test_the_picture_shines_through_faintly():
    (pixel,) = overlay(np.array([[0.0]]), np.ones((1, 1, 1)))[0].tolist()
    assert pixel == [128, 128, 128, 89]


def test_a_series_runs_to_the_right_and_no_numbers_are_nothing():
    assert overlay(np.zeros((5, 2))).shape == (2, 5, 4)
    assert not overlay(np.full((2, 2), np.nan), np.zeros((1, 2, 2))).any()


def test_three_pictures_stand_beside_each_other_with_their_words_escaped():
    made = maps_html(found(np.ones((4, 4), np.float32), np.zeros((3, 4, 4))), NASTY)
    sources = re.findall(r'src="data:image/png;base64,([^"]+)"', made)
    assert [Image.open(io.BytesIO(base64.b64decode(one))).size for one in sources] == [(4, 4)] * 3
    assert "<b>" not in made


def test_bars_are_the_strongest_features_with_their_names_escaped():
    values = np.arange(30, dtype=np.float32) * (-1) ** np.arange(30)
    figure = bars_figure(found(values, np.arange(30.0)), [NASTY] * 30)
    go.Figure(figure)
    assert "<b>" not in json.dumps(figure)
    mine, random = figure["data"]
    assert mine["x"][:2] == [-29.0, 28.0]
    assert mine["marker"]["color"][:2] == ["#E69F00", "#2381C4"]
    assert len(mine["x"]) == len(random["x"]) == MOST_BARS


def test_a_sample_is_explained_by_each_method_and_another_can_be_chosen():
    paused("digits")
    at = well(view("saliency").run())
    assert "Shrikumar" in seen(at)
    assert "Adebayo" in seen(at)
    first = seen(at)
    for method, source in (("integrated", "Sundararajan"), ("grad-cam", "Selvaraju"), ("occlusion", "Zeiler")):
        at.session_state["saliency-method"] = method
        assert source in seen(well(at.run()))
    at.session_state["saliency-method"] = "gradient"
    well(find(at.number_input, "Sample").set_value(3).run())
    assert seen(at) != first
    assert find(at.number_input, "Sample").max == 499


def test_another_class_can_be_explained():
    paused("simplenet")
    at = well(view("saliency").run())
    well(find(at.selectbox, "Explain").select(7).run())
    assert "speaks for **7**" in seen(at)


def test_features_are_bars(figures):
    paused("two-moons")
    well(view("saliency").run())
    assert len(figures["saliency-bars"]["data"][0]["x"]) == 2


def test_values_are_explained_too(figures):
    paused("linear-regression")
    at = well(view("saliency").run())
    assert "the network says" in seen(at)
    assert len(figures["saliency-bars"]["data"]) == 2


def test_a_network_without_convolutions_says_so_where_grad_cam_is_asked_for():
    paused("simplenet")
    at = view("saliency")
    at.session_state["saliency-method"] = "grad-cam"
    assert "this network has none" in seen(well(at.run()))


def test_of_a_frame_that_is_looked_at_the_frame_is_explained(monkeypatch):
    job = paused("simplenet")
    filmed(monkeypatch, job.recipe, 3)
    assert "Adebayo" in seen(well(view("saliency", epoch=2).run()))


def _drawing() -> None:
    import numpy as np

    from pages.parts.state.process import jobs
    from pages.parts.views.saliency import show
    from pages.parts.views.subject import Subject

    digit = np.zeros((1, 28, 28), np.float32)
    digit[0, 6:22, 13:15] = 1
    show(Subject(jobs()[-1]), raw=digit)


def test_a_drawing_is_explained_without_a_choice_of_samples():
    paused("simplenet")
    at = well(AppTest.from_function(_drawing, default_timeout=LONG).run())
    assert "the network says" in seen(at)
    assert not at.number_input
