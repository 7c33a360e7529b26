import math

import pytest
import torch

from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Mnist5k, Moons
from dlcore.settings import accepted
from tests.sequences import Alphabet, NextOfWave

EVERYTHING = Augmentation(shift=0.1, rotate=20, scale=0.2, shear=15)
NAMES = list(Augmentation.model_fields)
OTHER = {"shift": 0.2, "rotate": 30, "scale": 0.4, "shear": 30}


def drawing(count=1, side=28):
    """A soft blot off the centre, so that every movement shows: (count, 1, side, side)."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    blot = torch.exp(-((rows - side * 0.4) ** 2 / 8 + (columns - side * 0.6) ** 2 / 18))
    return blot.expand(count, 1, side, side).clone()


def centres(pictures):
    """(N, 2): row and column of the centre of mass."""
    mass = pictures.sum((1, 2, 3))
    places = torch.arange(pictures.shape[-1], dtype=torch.float32)
    return torch.stack([(pictures.sum((1, 3)) @ places) / mass, (pictures.sum((1, 2)) @ places) / mass], 1)


def always(monkeypatch, *draws):
    """The five draws of every picture, each in -1..1: angle, slant, size, right to left, bottom to top."""
    values = (torch.tensor(draws).view(5, 1) + 1) / 2
    monkeypatch.setattr(torch, "rand", lambda five, count, device: values.expand(five, count).to(device))


def test_without_any_setting_pictures_stay_the_very_same_and_nothing_is_drawn():
    pictures = drawing(3)
    before = torch.get_rng_state()
    assert Augmentation().apply(pictures) is pictures
    assert not Augmentation().active
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_moves_pictures(name):
    torch.manual_seed(0)
    augmentation = Augmentation(**{name: OTHER[name]})
    assert augmentation.active
    assert (augmentation.apply(drawing(4)) - drawing(4)).abs().max() > 0.1


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (5, 3, 32, 32)])
def test_shape_and_type_stay(shape):
    pictures = torch.rand(shape)
    moved = EVERYTHING.apply(pictures)
    assert moved.shape == shape
    assert moved.dtype == torch.float32
    assert torch.isfinite(moved).all()


def test_draws_of_nothing_leave_the_picture_as_it_is(monkeypatch):
    always(monkeypatch, 0, 0, 0, 0, 0)
    torch.testing.assert_close(EVERYTHING.apply(drawing(2)), drawing(2), rtol=1e-4, atol=1e-5)


def test_samples_of_one_batch_move_each_in_its_own_way():
    torch.manual_seed(0)
    moved = EVERYTHING.apply(drawing(16))
    for first in range(16):
        for second in range(first):
            assert (moved[first] - moved[second]).abs().max() > 1e-3


def test_channels_of_one_picture_move_together():
    torch.manual_seed(0)
    moved = EVERYTHING.apply(drawing(4, 32).expand(4, 3, 32, 32))
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert torch.equal(moved[:, 0], moved[:, 2])


@pytest.mark.parametrize(("right", "down"), [(7, 0), (0, 7), (-7, 0), (0, -7), (7, -7)])
def test_a_pure_shift_moves_pixels_by_its_share_of_the_side(monkeypatch, right, down):
    pictures = torch.zeros(2, 1, 28, 28)
    pictures[:, :, 8:20, 8:20] = torch.rand(2, 1, 12, 12)
    always(monkeypatch, 0, 0, 0, -right / 7, -down / 7)  # a quarter of 28 pixels is 7
    expected = torch.zeros(2, 1, 28, 28)
    expected[:, :, 8 + down : 20 + down, 8 + right : 20 + right] = pictures[:, :, 8:20, 8:20]
    torch.testing.assert_close(Augmentation(shift=0.25).apply(pictures), expected, rtol=1e-4, atol=1e-4)


def test_a_shift_is_no_longer_where_the_picture_is_turned_and_grown_as_well(monkeypatch):
    always(monkeypatch, 0.7, -0.6, 0.9, -0.5, 1)
    pictures = torch.zeros(1, 1, 28, 28)
    pictures[:, :, 13:15, 13:15] = 1
    moved = Augmentation(shift=0.2, rotate=90, scale=0.5, shear=30).apply(pictures)
    expected = torch.tensor([[13.5 - 0.2 * 28, 13.5 + 0.1 * 28]])
    torch.testing.assert_close(centres(moved), expected, rtol=0, atol=0.1)


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_a_quarter_turn_is_a_quarter_turn(monkeypatch, turns):
    pictures = torch.rand(2, 1, 28, 28)
    always(monkeypatch, turns / 2, 0, 0, 0, 0)
    turned = Augmentation(rotate=180).apply(pictures)
    torch.testing.assert_close(turned, pictures.rot90(turns, (2, 3)), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("draw", [-1.0, 1.0])
def test_scale_grows_and_shrinks_by_its_share(monkeypatch, draw):
    always(monkeypatch, 0, 0, draw, 0, 0)
    before, after = drawing(), Augmentation(scale=0.2).apply(drawing())
    middle = 13.5
    expected = middle + (centres(before) - middle) * (1 + 0.2 * draw)
    torch.testing.assert_close(centres(after), expected, rtol=0, atol=0.05)
    area = (after.sum() / before.sum()).item()
    assert area == pytest.approx((1 + 0.2 * draw) ** 2, rel=0.02)


def test_shear_slants_columns_and_keeps_rows(monkeypatch):
    always(monkeypatch, 0, 1, 0, 0, 0)
    before, after = centres(drawing()), centres(Augmentation(shear=30).apply(drawing()))
    sideways = (before[0, 0] - 13.5) * math.tan(math.radians(30))
    expected = before - torch.tensor([0.0, sideways])
    torch.testing.assert_close(after, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("background", [-0.42, 0.0, 3.0])
def test_the_background_stays_the_pictures_border(background):
    """Pictures are normalised: their black is not zero, and zeros from outside would be grey stripes."""
    pictures = torch.full((8, 1, 28, 28), background)
    pictures[:, :, 13:15, 13:15] = background + 1
    torch.manual_seed(0)
    moved = Augmentation(shift=0.2, rotate=180, scale=0.5, shear=30).apply(pictures)
    for edge in (moved[..., 0, :], moved[..., -1, :], moved[..., :, 0], moved[..., :, -1]):
        torch.testing.assert_close(edge, torch.full_like(edge, background), rtol=1e-5, atol=1e-5)
    assert moved.min() >= background - 1e-5
    assert moved.max() <= background + 1 + 1e-5


def test_draws_stay_within_their_bounds_and_reach_both_sides():
    torch.manual_seed(0)
    moved = centres(Augmentation(shift=0.1).apply(drawing(2000))) - centres(drawing(1))
    limit = 0.1 * 28
    assert moved.abs().max() <= limit + 0.02
    for direction in (moved[:, 0], moved[:, 1]):
        assert direction.min() < -0.95 * limit
        assert direction.max() > 0.95 * limit
        assert direction.mean().abs() < 0.1
    assert torch.corrcoef(moved.T)[0, 1].abs() < 0.1


def test_the_same_seed_moves_pictures_the_same_way():
    torch.manual_seed(4)
    first = EVERYTHING.apply(drawing(6))
    second = EVERYTHING.apply(drawing(6))
    torch.manual_seed(4)
    again = EVERYTHING.apply(drawing(6))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_the_pictures_given_are_not_changed():
    pictures = drawing(3)
    EVERYTHING.apply(pictures)
    assert torch.equal(pictures, drawing(3))


def test_features_cannot_be_moved_and_the_answer_says_what_to_do():
    (problem,) = EVERYTHING.problems(Moons())
    assert problem.setting == "augmentation"
    for word in ("moons", *NAMES, "0"):
        assert word in problem.text
    assert Augmentation().problems(Moons()) == []
    assert EVERYTHING.problems(Mnist5k()) == []


def test_every_setting_starts_at_zero_which_is_off():
    assert set(Augmentation().model_dump().values()) == {0.0}
    for name in NAMES:
        assert accepted(Augmentation.model_fields[name]).startswith("a number from 0 to ")


@pytest.mark.parametrize("data", [Alphabet(), NextOfWave()], ids=lambda data: data.kind)
def test_what_has_no_pictures_is_not_moved(data):
    assert Augmentation().problems(data) == []
    (problem,) = Augmentation(shift=0.1).problems(data)
    assert (problem.setting, data.kind in problem.text) == ("augmentation", True)
