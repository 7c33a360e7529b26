import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.pictures import write_mnist
from dlcore.catalogue import splits
from dlcore.catalogue.splits import FiledSplit, Pictures, Split, of_pictures
from tests.waiting import wait_until

SHAPES = [(1, 28, 28), (3, 32, 32)]


def published(shape, count=300):
    """Training, validation and test part of random pictures, the first two from one array."""
    random, draw = np.random.default_rng(0), torch.Generator().manual_seed(0)
    pictures, targets = random.integers(0, 200, (count, *shape), dtype=np.uint8), torch.arange(count) % 10
    order = torch.randperm(count, generator=draw)
    test = random.integers(0, 256, (20, *shape), dtype=np.uint8)
    return (
        Pictures(pictures, targets, order[30:]),
        Pictures(pictures, targets, order[:30]),
        Pictures(test, torch.arange(20) % 10, torch.arange(20)),
    )


@pytest.fixture
def files(monkeypatch):
    """However few, pictures stay where they are."""
    monkeypatch.setattr(splits, "RESIDENT", 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_and_deviation_are_those_of_the_training_pictures(shape, monkeypatch):
    monkeypatch.setattr(splits, "COUNTED", 64)  # so that there is more than one piece, and a last one that is smaller
    train, *others = published(shape)
    found = of_pictures(train, *others)
    scaled = train.pictures[train.places.numpy()] / 255
    np.testing.assert_allclose(found.mean.flatten(), scaled.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.std.flatten(), scaled.std((0, 2, 3), ddof=1), rtol=1e-6)


def test_pictures_of_one_colour_are_not_divided_by_zero():
    pictures = Pictures(np.full((4, 1, 2, 2), 7, np.uint8), torch.zeros(4, dtype=torch.int64), torch.arange(4))
    assert torch.equal(of_pictures(pictures, pictures, pictures).train.inputs, torch.zeros(4, 1, 2, 2))


def test_few_pictures_are_in_memory_and_more_than_are_allowed_stay_in_their_file(monkeypatch):
    parts = published((1, 28, 28))
    bytes_of_all = 320 * 28 * 28 * 4
    monkeypatch.setattr(splits, "RESIDENT", bytes_of_all)
    assert isinstance(of_pictures(*parts).train, Split)
    monkeypatch.setattr(splits, "RESIDENT", bytes_of_all - 1)
    found = of_pictures(*parts)
    for split, part in zip((found.train, found.validation, found.test), parts, strict=True):
        assert isinstance(split, FiledSplit)
        assert split.pictures is part.pictures


@pytest.mark.parametrize("shape", SHAPES)
def test_from_a_file_come_the_same_samples_as_from_memory_to_the_bit(shape, monkeypatch):
    memory = of_pictures(*published(shape))
    monkeypatch.setattr(splits, "RESIDENT", 0)
    file = of_pictures(*published(shape))
    draws = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    for name in ("train", "validation", "test"):
        ours, theirs = getattr(file, name), getattr(memory, name)
        assert len(ours) == len(theirs)
        for places in (slice(None), slice(5, 9), slice(15, 999), draws, draws[:0]):
            for one, other in zip(ours[places], theirs[places], strict=True):
                assert one.dtype == other.dtype
                assert torch.equal(one, other)
        for one, other in zip(ours.first(7)[:], theirs.first(7)[:], strict=True):
            assert torch.equal(one, other)
        for one, other in zip(ours.blocks(draws.split(6)), theirs.blocks(draws.split(6)), strict=True):
            assert all(map(torch.equal, one, other))


def test_no_blocks_give_no_samples(files):
    assert list(of_pictures(*published((1, 28, 28))).train.blocks([])) == []


class Asked:
    """Places of a split that note when they are asked for."""

    def __init__(self, split):
        self.split, self.noted = split, []

    def __getitem__(self, places):
        self.noted.append(places.start)
        return self.split.places[places]


def test_the_next_block_is_read_while_one_is_in_use_and_no_more_than_that(files):
    split = of_pictures(*published((1, 28, 28))).train
    asked = Asked(split)
    watched = FiledSplit(split.pictures, asked, split.targets, split.mean, split.std)
    blocks = watched.blocks(slice(start, start + 10) for start in range(0, 100, 10))
    next(blocks)
    wait_until(lambda: asked.noted == [0, 10])
    next(blocks)
    wait_until(lambda: asked.noted == [0, 10, 20])
    blocks.close()


def test_who_reads_ahead_ends_with_the_epoch_and_when_it_is_broken_off(files):
    def reading():
        return [thread for thread in threading.enumerate() if thread.name.startswith("reading")]

    split = of_pictures(*published((1, 28, 28))).train
    blocks = split.blocks(torch.arange(100).split(10))
    next(blocks)
    assert reading()
    blocks.close()
    assert not reading()
    assert len(list(split.blocks(torch.arange(100).split(10)))) == 10
    assert not reading()


def test_what_goes_wrong_while_reading_is_told_to_who_asked(files):
    split = of_pictures(*published((1, 28, 28))).train
    with pytest.raises(IndexError):
        list(split.blocks([torch.tensor([0, 10**6])]))


SHRINKS = """
import json, os, sys
from pathlib import Path
from dlcore.catalogue import splits
from dlcore.catalogue.architectures import Linear
from dlcore.catalogue.datasets import Mnist, Moons
from dlcore.engine.conductor import Conductor
from dlcore.recipe import Recipe

splits.RESIDENT, reads, read = 0, [], splits.FiledSplit.__getitem__
file = Path(os.environ["DLCORE_DATA"]) / "MNIST/raw/train-images-idx3-ubyte"

def cutting(split, places):
    reads.append(places)
    if len(reads) == 5:
        os.truncate(file, 1000)
    return read(split, places)

splits.FiledSplit.__getitem__ = cutting
conductor = Conductor(threads=1)
job = conductor.submit("cut", Recipe(data=Mnist(), model=Linear(), batch_size=50, epochs=3))
job.wait(60)
other = conductor.submit("other", Recipe(data=Moons(), epochs=1))
other.wait(60)
print(json.dumps([job.status, job.failure and job.failure.text, other.status]))
conductor.close()
"""


@pytest.mark.slow
def test_a_file_that_becomes_shorter_fails_its_run_with_a_sentence_and_ends_nothing_else(tmp_path):
    """In a process of its own, which the system would end."""
    write_mnist(tmp_path, 4000)
    found = subprocess.run(
        [sys.executable, "-c", SHRINKS],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"DLCORE_DATA": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    status, text, other = json.loads(found.stdout)
    assert (status, other) == ("failed", "finished")
    assert "train-images-idx3-ubyte has become shorter while it was read" in text
    assert text.endswith("put it back whole, and start again.")
