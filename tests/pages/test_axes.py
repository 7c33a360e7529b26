"""Axes: how far up they go, and the line of guessing."""

from types import SimpleNamespace

import numpy as np
import pytest

from dlcore.recipes import RECIPES
from pages.parts.axes import guessing, loss_axis


def top(*lines) -> float:
    return loss_axis(lines).get("autorangeoptions", {}).get("clipmax", np.inf)


def test_one_spike_does_not_flatten_the_loss():
    line = np.linspace(2, 1, 100)
    line[60] = 1000
    assert 2 <= top(line) <= 5
    few = [1.0, 0.9, 500.0, 0.8, 0.7]
    assert 0.9 <= top(few) <= 3


@pytest.mark.parametrize(
    "line",
    [[], [None], [1.0], [3.0, 2.0, 1.5, 1.2, 1.0], [0.0] * 30, [-2.0, -1.0, 5.0], np.linspace(2.3, 0.05, 400)],
    ids=["nothing", "no points", "one", "few", "zeros", "negative", "a usual course"],
)
def test_what_has_no_spike_is_not_cut_off(line):
    assert top(line) == np.inf


def test_where_a_line_ends_is_never_cut_off():
    diverging = [*np.full(100, 1.0), 50.0, 4000.0, None, float("inf")]
    assert top(diverging) >= 4000
    spiked = [*np.full(100, 1.0), 9000.0, *np.full(100, 1.0)]
    assert top(spiked, [1.0, 2.0, 30.0]) >= 30


def test_a_level_that_one_line_keeps_is_shown_beside_others():
    assert top(np.full(100, 0.1), np.full(100, 7.0)) == np.inf


def test_guessing_names_the_commonest_class_or_any():
    digits, line = RECIPES["digits"].recipe, RECIPES["linear-regression"].recipe
    run = SimpleNamespace(targets=np.array([0, 1, 1, 1]))
    assert guessing(run, digits) == 0.75
    assert guessing(SimpleNamespace(targets=None), digits) == guessing(None, digits) == 0.1
    assert guessing(run, line) is None
