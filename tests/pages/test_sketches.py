"""The small pictures of what a choice means."""

import base64
import re

import numpy as np
import pytest
import torch

from dlcore.catalogue.activations import Activation
from dlcore.catalogue.optimizers import Adam
from dlcore.catalogue.schedules import Schedule
from dlcore.engine import conductor  # noqa: F401 - a page draws activations once it is here
from dlcore.settings import choices
from pages.parts import sketches


def drawn(monkeypatch, choice):
    """The curve's points, up being positive, scaled to between 0 and 1."""
    shown = []
    monkeypatch.setattr(sketches.st, "html", lambda body, **_: shown.append(body))
    sketches.sketch(choice)
    if not shown:
        return None
    svg = base64.b64decode(re.search('base64,([^"]+)', shown[0])[1]).decode()
    points = re.search('points="([^"]+)"', svg)[1]
    heights = -np.array([float(pair.split(",")[1]) for pair in points.split()])
    return (heights - heights.min()) / (np.ptp(heights) or 1)


def scaled(values):
    return (values - values.min()) / (np.ptp(values) or 1)


@pytest.mark.parametrize("kind", choices(Activation))
def test_an_activation_is_drawn_as_it_bends(monkeypatch, kind):
    choice = choices(Activation)[kind]()
    with torch.inference_mode():
        expected = choice.build().eval()(torch.linspace(-3, 3, sketches.POINTS)).numpy()
    np.testing.assert_allclose(drawn(monkeypatch, choice), scaled(expected), atol=0.02)


@pytest.mark.parametrize("kind", choices(Schedule))
def test_a_schedule_is_drawn_as_it_goes(monkeypatch, kind):
    choice = choices(Schedule)[kind]()
    expected = np.array([choice.factor(step, 100, 10) for step in range(100)])
    np.testing.assert_allclose(drawn(monkeypatch, choice), scaled(expected), atol=0.02)


def test_what_has_no_curve_has_no_sketch(monkeypatch):
    assert drawn(monkeypatch, Adam()) is None


def test_a_sketch_draws_nothing_from_default_generators(monkeypatch):
    before = torch.get_rng_state()
    for kind in choices(Activation).values():
        sketches._bend.cache_clear()
        drawn(monkeypatch, kind())
    assert torch.equal(torch.get_rng_state(), before)
