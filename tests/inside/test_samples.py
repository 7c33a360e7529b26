import numpy as np
import pytest
import torch

from dlcore.catalogue.datasets import Mnist5k, load
from dlcore.inside.samples import of_each_class, validation_pictures


def test_samples_are_of_each_class_in_turn():
    targets = np.array([2, 0, 0, 1, 2, 1, 0, 0])
    assert of_each_class(targets, 6).tolist() == [1, 3, 0, 2, 5, 4]
    assert targets[of_each_class(targets, 8)].tolist() == [0, 1, 2, 0, 1, 2, 0, 0]


@pytest.mark.parametrize("count", [0, 3, 100])
def test_no_more_samples_are_taken_than_there_are_and_none_twice(count):
    places = of_each_class(np.array([1, 1, 0]), count)
    assert len(places) == len(set(places.tolist())) == min(count, 3)


def test_pictures_are_as_they_were_before_they_were_normalised():
    data, places = load(Mnist5k()), np.array([3, 1])
    pictures = validation_pictures(data, places)
    assert (pictures.shape, pictures.dtype) == ((2, 28, 28, 1), np.uint8)
    assert (pictures.min(), pictures.max()) == (0, 255)
    for picture, place in zip(pictures, places, strict=True):
        again = (torch.from_numpy(picture[..., 0]) / 255 - data.mean) / data.std
        torch.testing.assert_close(again.view(1, 28, 28), data.validation.inputs[place], rtol=0, atol=0.01)
