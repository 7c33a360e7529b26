import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcore.curve import STRETCHES, Curve

LENGTHS = st.integers(1, 12345) | st.sampled_from(
    (1, 2, 3, 11, 255, 257, STRETCHES - 1, STRETCHES, STRETCHES + 1, 2 * STRETCHES, 5 * STRETCHES + 7, 12345)
)
PIECES = st.integers(1, 2000) | st.sampled_from((1, 256, 10**6))
POINTS = st.integers(4, 400)


def grown(values, piece, dtype=np.float64):
    """A curve to which its values came in pieces."""
    curve = Curve(dtype=dtype)
    for start in range(0, len(values), piece):
        curve.extend(values[start : start + piece])
    return curve


@given(st.just(0) | LENGTHS, PIECES)
def test_every_value_is_kept_in_order_however_it_came(length, piece):
    values = np.random.default_rng(length).normal(size=length).astype(np.float32)
    curve = grown(values, piece, np.float32)
    assert len(curve) == length
    assert curve.values.tobytes() == values.tobytes()


def test_what_was_handed_out_stays_as_it_is():
    curve = Curve([1.0, 2.0])
    before = curve.values
    curve.extend(np.arange(1000))
    assert before.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 9
    assert curve.values[:3].tolist() == [1.0, 2.0, 0.0]


@given(LENGTHS, PIECES, POINTS)
def test_a_curve_looks_the_same_however_it_came(length, piece, points):
    values = np.random.default_rng(length).normal(size=length)
    in_pieces, at_once = grown(values, piece), grown(values, length)
    for look in (Curve.means, Curve.thin):
        for one, other in zip(look(in_pieces, points), look(at_once, points), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@given(LENGTHS, POINTS)
def test_a_thinned_curve_keeps_its_extremes_and_both_ends(length, points):
    values = np.random.default_rng(length).normal(size=length)
    places, y = grown(values, 300).thin(points)
    assert len(places) == len(y) <= points
    assert (np.diff(places) > 0).all()
    np.testing.assert_array_equal(y, values[places])  # true points, nothing made up
    assert (places[0], places[-1]) == (0, length - 1)
    assert (y.min(), y.max()) == (values.min(), values.max())


@pytest.mark.parametrize("place", [0, 1, 777, 5000, 9998, 9999])
@pytest.mark.parametrize("height", [1.0, -1.0])
def test_a_single_peak_or_dip_never_vanishes(place, height):
    values = np.zeros(10000)
    values[place] = height
    assert place in grown(values, 100).thin(100)[0]


def test_a_thinned_curve_has_points_all_along():
    """Not bunched: every twentieth of a long curve has its share."""
    places, _ = grown(np.random.default_rng(0).normal(size=50_000), 256).thin(400)
    counts, _ = np.histogram(places, bins=20, range=(0, 50_000))
    assert counts.min() > 5
    assert counts.max() <= 400 / 20 * 1.5


def test_a_short_curve_is_left_alone():
    values = np.random.default_rng(0).random(5)
    places, y = grown(values, 2).thin(5)
    assert places.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(y, values)


@given(LENGTHS, st.integers(1, 200))
def test_means_cover_every_value_once(length, points):
    values = np.random.default_rng(1).random(length)
    ends, y = grown(values, 300).means(points)
    assert len(ends) == len(y) <= points
    assert len(y) >= min(length, points) * 0.45  # and are not much fewer
    assert ends[-1] == length
    sizes = np.diff(ends, prepend=0)
    assert len(set(sizes[:-1])) <= 1
    assert 1 <= sizes[-1] <= sizes[0]
    for start, end, mean in zip([0, *ends[:-1]], ends, y, strict=True):
        assert mean == pytest.approx(values[start:end].mean(), rel=1e-9)


def test_means_stay_where_they_are_while_the_curve_grows():
    curve = grown(np.random.default_rng(2).random(20_000), 500)
    before = curve.means(200)
    curve.extend(np.ones(100))
    for old, new in zip(before, curve.means(200), strict=True):
        np.testing.assert_array_equal(old[:-1], new[: len(old) - 1])


VALUES = st.sampled_from([0.0, 1.0, 2.0, np.nan, np.inf, -np.inf]) | st.floats(width=32)


@given(st.lists(VALUES, min_size=1), st.integers(1, 3 * STRETCHES))
def test_the_lowest_value_is_found_the_first_of_equals(values, times):
    values = np.resize(np.float32(values), max(times, len(values)))  # repeated, so that it has many stretches
    finite = np.where(np.isfinite(values), values, np.inf)
    assert Curve(values).lowest() == int(finite.argmin())


def test_without_finite_values_the_lowest_is_the_first():
    assert Curve([np.nan, np.inf]).lowest() == 0


def test_nothing_has_no_means_and_no_points():
    for found in (*Curve().means(10), *Curve().thin(10)):
        assert len(found) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_hides_no_extreme(bad):
    values = np.random.default_rng(3).normal(size=9000)
    values[4000::50] = bad
    values[4017] = 100.0
    places, y = grown(values, 300).thin(100)
    assert 4017 in places
    finite = values[np.isfinite(values)]
    assert {finite.min(), finite.max()} <= set(y.tolist())
    values[5000:] = np.nan
    _, y = grown(values, 300).thin(100)
    assert np.isnan(y[-1])  # a gap is shown as one
    assert np.isnan(grown(values, 300).means(50)[1][-1])


def test_a_recorded_number_takes_at_most_twenty_bytes():
    curve = grown(np.zeros(10**6, np.float32), 10**4, np.float32)
    held = [value for value in vars(curve).values() if isinstance(value, np.ndarray)]
    assert sum(map(sys.getsizeof, held)) <= 20 * len(curve)


def test_the_work_of_a_look_does_not_grow_with_the_curve(monkeypatch):
    """The largest array that is gone through."""
    most = []
    isfinite = np.isfinite
    monkeypatch.setattr(np, "isfinite", lambda values: most.append(np.size(values)) or isfinite(values))
    for length in (10**4, 10**6):
        curve = Curve(np.zeros(length))
        most.clear()
        curve.thin(400)
        assert max(most) <= 2 * STRETCHES


@given(LENGTHS)
def test_the_lowest_value_from_any_place_on_is_found(length):
    values = np.random.default_rng(length).normal(size=length)
    values[:: max(2, length // 5)] = np.nan
    curve = grown(values, 300)
    for start in {0, 1, 7, length // 3, length // 2, length - 1} & set(range(length)):
        rest = np.where(np.isfinite(values[start:]), values[start:], np.inf)
        assert curve.lowest(start) == start + rest.argmin()
    assert curve.lowest(length) == length


@pytest.mark.parametrize("length", [33, STRETCHES + 1, 5 * STRETCHES])
def test_both_infinities_in_one_stretch_are_drawn_without_a_warning(length):
    values = np.ones(length)
    values[[1, 2]] = np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ends, means = grown(values, 1).means(10)
    assert ends[-1] == length
    assert np.isnan(means[0])
