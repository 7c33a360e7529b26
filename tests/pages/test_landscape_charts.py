"""Figures of landscapes and of walks: what is in them, escaped, and small enough to send."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.inside.landscape import Landscape, Path, Point
from dlcore.inside.surfaces import MOST_STEPS, SURFACES, descend
from pages.parts.landscape_charts import contour_figure, surface_figure, walks_figure
from pages.parts.run_looks import colour

AXIS = np.linspace(-1, 1, 31)
POINTS = tuple(Point(epoch, -1 + epoch / 4, 0.5, 0.25, 0.125) for epoch in range(5))
FOUND = Landscape("film", (AXIS, AXIS), 10.0 ** (AXIS[:, None] + AXIS), (Path(2, POINTS),), 0.93, 512, 1.0)


def test_the_ground_is_the_logarithm_of_the_loss_and_hover_tells_the_loss_itself():
    ground = contour_figure(FOUND, {})["data"][0]
    np.testing.assert_allclose(ground["z"], AXIS[:, None] + AXIS, atol=1e-4)
    assert ground["text"][15][15] == "1"
    marks = dict(zip(ground["colorbar"]["ticktext"], ground["colorbar"]["tickvals"], strict=True))
    assert marks["10"] == pytest.approx(1)


def test_a_path_tells_its_true_loss_beside_the_planes_and_marks_its_start_and_end():
    path = contour_figure(FOUND, {2: "adam"}, epoch=2)["data"][1]
    assert path["name"] == "adam"
    assert path["line"]["color"] == colour(2)
    assert path["text"][0] == "epoch 0<br>true loss 0.125<br>loss in the plane 0.25"
    assert path["marker"]["symbol"] == ["circle-open", "circle", "circle", "circle", "star"]
    assert path["marker"]["size"] == [13, 6, 13, 6, 13]  # the epoch that is looked at is larger


def test_on_the_surface_a_path_lies_on_the_planes_loss_and_dotted_at_its_true_one():
    _, plane, true = surface_figure(FOUND, {})["data"]
    assert plane["z"] == pytest.approx([math.log10(0.25)] * 5, abs=1e-4)
    assert true["z"] == pytest.approx([math.log10(0.125)] * 5, abs=1e-4)
    assert (plane["line"]["dash"], true["line"]["dash"]) == ("solid", "dot")


@pytest.mark.parametrize("draw", [contour_figure, surface_figure])
def test_a_name_is_shown_as_it_is(draw):
    text = json.dumps(draw(FOUND, {2: "<b>bold</b>"}))
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


@pytest.mark.parametrize("draw", [contour_figure, surface_figure])
@pytest.mark.parametrize("loss", [math.nan, math.inf, 0.0, 1.0])
def test_what_is_no_number_or_flat_can_be_drawn(draw, loss):
    ground = draw(replace(FOUND, loss=np.full((31, 31), loss)), {})["data"][0]
    assert all(map(math.isfinite, ground["colorbar"]["tickvals"]))
    assert ground["type"] == "surface" or ground["contours"]["size"] > 0


@pytest.mark.parametrize("draw", [contour_figure, surface_figure])
def test_a_picture_is_small_enough_to_send_at_every_tick(draw):
    assert len(json.dumps(draw(FOUND, {}))) < 40_000


@pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
def test_walks_are_lines_with_dots_that_walk(surface):
    walks = {"SGD": descend(surface, SGD(lr=1e-4), surface.start, 300), "<Adam>": descend(surface, Adam(), (1, 1), 100)}
    figure = walks_figure(surface, walks)
    lines = [trace for trace in figure["data"] if trace.get("mode") == "lines"]
    assert [line["name"] for line in lines] == ["SGD", "&lt;Adam&gt;"]
    assert (lines[0]["x"][0], lines[0]["y"][0]) == pytest.approx(surface.start)
    first, last = figure["frames"][0], figure["frames"][-1]
    assert (first["name"], last["name"]) == ("0", "300")
    assert first["data"][0]["x"] == pytest.approx([surface.start[0]])
    for frame in (first, last):
        assert [figure["data"][place]["mode"] for place in frame["traces"]] == ["markers", "markers"]
    assert last["data"][1]["x"] == figure["data"][last["traces"][1]]["x"]  # who has arrived stays there
    crosses = [trace for trace in figure["data"] if trace.get("name") == "minimum"]
    assert bool(crosses) == bool(surface.minima)


def test_five_long_walks_are_small_enough_for_a_page():
    surface = SURFACES["himmelblau"]
    walks = {str(rate): descend(surface, Adam(lr=rate), surface.start, MOST_STEPS) for rate in (1e-3, 1e-2)}
    walks |= {f"{name} again": walk for name, walk in walks.items()} | {"third": walks["0.01"]}
    assert len(json.dumps(walks_figure(surface, walks))) < 200_000
