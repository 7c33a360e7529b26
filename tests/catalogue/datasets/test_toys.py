"""Sets that a person can see whole."""

import numpy as np
import pytest
import torch

from dlcore.catalogue.datasets import Circles, Line, Moons, PassFail, Sine, Spirals, Xor, load
from tests.catalogue.datasets.files import parts

TOYS = [Moons, Circles, Xor, Spirals]


@pytest.mark.parametrize("cls", TOYS)
@pytest.mark.parametrize("samples", [20, 101, 1000])
def test_a_toy_set_has_the_samples_asked_for_with_the_same_share_of_classes_in_each_split(cls, samples):
    data = cls(samples=samples)
    found = data.load(lambda share: None)
    assert sum(map(len, parts(found))) == samples
    assert [len(split) for split in parts(found)] == [data.train_size, samples // 5, samples // 5]
    shares = [split.targets.float().mean().item() for split in parts(found)]
    assert max(shares) - min(shares) <= 1 / (samples // 5) + 1e-6


def xor_as_drawn(samples, seed):
    """Places and classes by the rule alone."""
    places = np.random.default_rng(seed).uniform(-1, 1, (samples, 2))
    return places, places.prod(1) < 0


@pytest.mark.parametrize("seed", [2116, 8151, 12165, 78278])
def test_a_class_of_which_the_rule_draws_a_single_point_gets_another(seed):
    places, targets = xor_as_drawn(20, seed)
    assert min(targets.sum(), (~targets).sum()) == 1
    found = Xor(samples=20, split_seed=seed, noise=0).load(lambda share: None)
    assert [len(split) for split in parts(found)] == [12, 4, 4]
    assert set(found.train.targets.tolist()) == {0, 1}
    inputs, classes = Xor(samples=20, split_seed=seed, noise=0).points()
    assert sorted(np.bincount(classes)) == [2, 18]
    assert np.array_equal(classes, inputs.prod(1) < 0)  # by the rule, all of them
    assert (inputs != places).any(1).sum() == 1


@pytest.mark.parametrize("samples", range(20, 30))
def test_where_the_rule_draws_enough_of_both_classes_its_points_are_taken_as_they_are(samples):
    for seed in range(1000):
        places, targets = xor_as_drawn(samples, seed)
        inputs, classes = Xor(samples=samples, split_seed=seed, noise=0).points()
        assert np.array_equal(inputs, places)
        assert np.array_equal(classes, targets)


@pytest.mark.parametrize("cls", [*TOYS, Sine])
@pytest.mark.parametrize("samples", [*range(20, 26), 99])
def test_the_smallest_sets_can_be_split_whatever_their_seed(cls, samples):
    for seed in range(50):
        found = cls(samples=samples, split_seed=seed, noise=5.0).load(lambda share: None)
        assert sum(map(len, parts(found))) == samples


@pytest.mark.parametrize("cls", [Moons, Line])
def test_features_stay_as_they_are(cls):
    found = load(cls())
    assert torch.equal((found.train.inputs - found.mean) / found.std, found.train.inputs)


def test_without_noise_the_toys_have_the_shapes_of_their_names():
    circles, spirals, xor, sine = (
        cls(noise=0, samples=500).load(lambda share: None).train for cls in (Circles, Spirals, Xor, Sine)
    )
    radius = circles.inputs.norm(dim=1)
    torch.testing.assert_close(radius, torch.where(circles.targets == 0, 1.0, 0.5), rtol=0, atol=1e-5)
    assert torch.equal(xor.targets.bool(), (xor.inputs[:, 0] > 0) != (xor.inputs[:, 1] > 0))
    torch.testing.assert_close(sine.targets, sine.inputs.sin(), rtol=1e-5, atol=1e-5)
    turned = torch.atan2(spirals.inputs[:, 1], spirals.inputs[:, 0])
    along = spirals.inputs.norm(dim=1) / 2 * 3 * torch.pi + spirals.targets * torch.pi
    torch.testing.assert_close((turned - along).cos(), torch.ones(len(along)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("cls", [*TOYS, Sine])
def test_noise_pushes_points_apart(cls):
    still, noisy = (cls(noise=noise).load(lambda share: None).train for noise in (0, 0.5))
    spread = [torch.cat([split.inputs, split.targets.view(-1, 1)], 1).std(0).sum() for split in (still, noisy)]
    assert spread[1] > spread[0]


def test_four_points_follow_their_rule_in_every_split():
    line, exam = load(Line()), load(PassFail())
    assert line.train.inputs.flatten().tolist() == [1, 2, 3, 4]
    for split in parts(line):
        assert torch.equal(split.targets, 2 * split.inputs)
    assert exam.train.targets.tolist() == [0, 0, 1, 1]
