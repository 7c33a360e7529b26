"""The classic functions against their derivatives by hand, and walks on them against the optimizers' formulas."""

import numpy as np
import pytest
import torch

from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.inside.surfaces import FAR, MOST_STEPS, SURFACES, descend, gradient
from dlcore.settings import SettingsError, choices

BY_HAND = {
    "rosenbrock": lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
    "himmelblau": lambda x, y: (
        4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7),
        2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7),
    ),
    "beale": lambda x, y: (
        sum(2 * (c - x + x * y**n) * (y**n - 1) for n, c in enumerate((1.5, 2.25, 2.625), 1)),
        sum(2 * (c - x + x * y**n) * n * x * y ** (n - 1) for n, c in enumerate((1.5, 2.25, 2.625), 1)),
    ),
    "saddle": lambda x, y: (-2 * x, 2 * y),
    "ravine": lambda x, y: (x, 50 * y),
}
each_surface = pytest.mark.parametrize("surface", SURFACES.values(), ids=SURFACES)
each_optimizer = pytest.mark.parametrize("optimizer", choices(Optimizer).values(), ids=choices(Optimizer))


@pytest.mark.parametrize("name", SURFACES)
def test_a_gradient_is_what_it_is_by_hand(name):
    surface = SURFACES[name]
    draw = np.random.default_rng(0)
    for x, y in draw.uniform(*np.array(surface.domain).T, (20, 2)).tolist():
        assert gradient(surface, x, y) == pytest.approx(BY_HAND[name](x, y), rel=1e-9, abs=1e-9)


@each_surface
def test_minima_are_the_lowest_places_of_the_picture_and_flat(surface):
    x, y, heights = surface.heights(61)
    for place in surface.minima:
        assert surface.height(*place) == pytest.approx(0, abs=1e-12)
        assert gradient(surface, *place) == pytest.approx((0, 0), abs=1e-10)
        assert x[0] < place[0] < x[-1]
        assert y[0] < place[1] < y[-1]
    assert not surface.minima or heights.min() >= 0


@each_surface
def test_heights_have_rows_along_y(surface):
    x, y, heights = surface.heights(5)
    assert heights.shape == (5, 5)
    assert heights[1, 3] == pytest.approx(surface.height(x[3], y[1]))


@each_surface
@each_optimizer
def test_every_optimizer_walks_down_from_every_start(surface, optimizer):
    found = descend(surface, optimizer(), surface.start, 50)
    assert found.places[0].tolist() == list(surface.start)
    assert found.places.dtype == np.float64
    np.testing.assert_allclose(found.heights, surface.height(*found.places.T))
    assert found.reason or len(found.places) == 51


@each_optimizer
def test_with_a_rate_that_suits_it_gets_near_the_bottom_of_the_ravine(optimizer):
    rate = {"sgd": 0.01, "adadelta": 10.0, "adagrad": 1.0}.get(optimizer.model_fields["kind"].default, 0.1)
    found = descend(SURFACES["ravine"], optimizer(lr=rate), (-2.0, 1.0), MOST_STEPS)
    assert found.heights[-1] < found.heights[0] / 10


def test_gradient_descent_on_the_ravine_is_the_formula():
    found = descend(SURFACES["ravine"], SGD(lr=0.03, momentum=0), (-9.0, 1.0), 30)
    steps = np.arange(31)
    expected = np.stack([-9 * (1 - 0.03) ** steps, (1 - 50 * 0.03) ** steps], 1)
    np.testing.assert_allclose(found.places, expected, rtol=1e-12)


def test_adams_first_step_is_as_long_as_its_rate_along_each_axis():
    found = descend(SURFACES["rosenbrock"], Adam(lr=0.1), (-1.5, 2.0), 1)
    np.testing.assert_allclose(np.abs(found.places[1] - found.places[0]), 0.1, rtol=1e-6)


def test_who_runs_away_is_stopped_and_told_of():
    surface = SURFACES["ravine"]
    found = descend(surface, SGD(lr=1.0, momentum=0), surface.start, 500)
    assert found.reason.startswith(f"After step {len(found.places)} it was more than {FAR} times")
    assert np.isfinite(found.heights).all()
    far = descend(SURFACES["beale"], SGD(lr=10.0), (4.0, 4.0), 500)
    assert far.reason
    assert np.isfinite(far.places).all()


def test_no_walk_is_longer_than_allowed():
    assert len(descend(SURFACES["ravine"], SGD(lr=1e-4), (-2.0, 1.0), 10**9).places) == MOST_STEPS + 1


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(SettingsError, match="needs momentum"):
        descend(SURFACES["ravine"], SGD(momentum=0, nesterov=True), (1.0, 1.0), 5)


def test_a_walk_draws_no_random_number_and_goes_without_grad_mode():
    before = torch.get_rng_state()
    with torch.no_grad():
        one = descend(SURFACES["ravine"], Adam(lr=0.1), (1.0, 1.0), 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(one.places) == 6
