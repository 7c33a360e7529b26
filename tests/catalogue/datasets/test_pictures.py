"""Sets of pictures: split, normalised, and read from disk in the layout of torchvision."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore.catalogue import splits
from dlcore.catalogue.datasets import Cifar10, FashionMnist, Mnist, Mnist5k, load
from tests.catalogue.datasets.files import (
    DOWNLOADED,
    MNIST_FILES,
    check_pictures,
    cifar_batches,
    mnist_files,
    parts,
    python_2_pickle,
    rows,
    write_cifar,
    write_mnist,
)


def test_the_5000_digits_are_500_of_each_and_every_split_has_its_share():
    found = load(Mnist5k())
    assert [len(split) for split in parts(found)] == [4000, 500, 500]
    for split, share in zip(parts(found), (400, 50, 50), strict=True):
        assert split.targets.bincount().tolist() == [share] * 10


def test_pictures_are_normalised_by_the_training_pictures_alone():
    found = load(Mnist5k())
    assert found.train.inputs.double().mean().item() == pytest.approx(0, abs=1e-4)
    assert found.train.inputs.double().std().item() == pytest.approx(1, abs=1e-4)
    assert found.validation.inputs.double().mean().item() != pytest.approx(0, abs=1e-4)
    for split in parts(found):
        raw = split.inputs * found.std + found.mean
        assert raw.min() >= -1e-5
        assert raw.max() <= 1 + 1e-5
        levels = raw * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)


# On disk


@pytest.mark.parametrize("cls", [Mnist, FashionMnist])
def test_mnist_on_disk_is_read_as_it_was_written(root, offline, cls):
    write_mnist(root, cls.folder)
    found = load(cls())
    assert [len(split) for split in parts(found)] == [54, 6, 20]
    check_pictures(found, (1, 28, 28))
    written = np.frombuffer(mnist_files()["t10k-images-idx3-ubyte"][16:], dtype=np.uint8).reshape(20, 1, 28, 28)
    raw = (found.test.inputs * found.std + found.mean) * 255
    np.testing.assert_allclose(raw.numpy(), written, atol=1e-3)
    assert found.test.targets.tolist() == [number % 10 for number in range(20)]


def test_more_pictures_than_fit_into_memory_stay_in_their_file(root, offline, monkeypatch):
    raw = write_mnist(root)
    memory = Mnist().load(lambda share: None)
    monkeypatch.setattr(splits, "RESIDENT", 0)
    file = Mnist().load(lambda share: None)
    for ours, theirs in zip(parts(file), parts(memory), strict=True):
        assert all(map(torch.equal, ours[:], theirs[:]))
        assert isinstance(ours.pictures, np.memmap)
    maps = Path("/proc/self/smaps")
    if maps.exists():  # Linux says what it was advised
        flags = re.findall(rf"{raw}/(\S+images\S+)\n(?:\S+: .*\n)*?VmFlags: (.*)", maps.read_text())
        assert {name for name, _ in flags} == {name for name in MNIST_FILES if "images" in name}
        assert all("rr" in found.split() for _, found in flags)


@pytest.mark.parametrize(
    ("keys", "protocol"),
    [(str, 2), (str, 4), (str.encode, 2), (str.encode, 5)],
    ids=["str", "str protocol 4", "bytes", "bytes protocol 5"],
)
def test_cifar_on_disk_is_read_as_it_was_written(root, offline, keys, protocol):
    write_cifar(root, keys, protocol)
    found = load(Cifar10())
    assert [len(split) for split in parts(found)] == [45, 5, 10]
    check_pictures(found, (3, 32, 32))
    written = cifar_batches(str)["test_batch"]["data"].reshape(10, 3, 32, 32)
    raw = (found.test.inputs * found.std + found.mean) * 255
    np.testing.assert_allclose(raw.numpy(), written, atol=1e-3)
    assert found.test.targets.tolist() == list(range(10))


def test_cifar_as_python_2_wrote_it_is_read(root, offline):
    written = cifar_batches(str)
    write_cifar(root, **{name: python_2_pickle(batch) for name, batch in written.items()})
    found = load(Cifar10())
    raw = (found.test.inputs * found.std + found.mean) * 255
    np.testing.assert_allclose(raw.numpy(), written["test_batch"]["data"].reshape(10, 3, 32, 32), atol=1e-3)


def test_validation_is_a_tenth_of_training_by_the_seed_and_the_test_part_stays(root, offline):
    write_mnist(root)
    first, other = load(Mnist(split_seed=0)), load(Mnist(split_seed=1))
    assert rows(first.validation) != rows(other.validation)
    assert first.test.targets.tolist() == other.test.targets.tolist()
    assert first.train.targets.bincount().sum() == 54


@pytest.mark.parametrize("kind", DOWNLOADED)
def test_the_size_stated_before_loading_is_that_of_the_published_set(kind):
    data = DOWNLOADED[kind]()
    held = max(1, data.published // 10)
    assert data.train_size == data.published - held
