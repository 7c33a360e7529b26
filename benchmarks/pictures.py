"""Random pictures in the files that torchvision unpacks: what a step costs does not hang on what is to be seen."""

import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dlcore.catalogue.datasets import data_root

PIECE = 100_000  # pictures that are drawn at a time, so that there can be more than fit into memory


def write_mnist(root: Path, count: int) -> None:
    """Magic number, sizes, bytes."""
    folder, draw = root / "MNIST" / "raw", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, size in (("train", count), ("t10k", 1000)):
        for name, shape, below in (("images-idx3", (size, 28, 28), 256), ("labels-idx1", (size,), 10)):
            with (folder / f"{part}-{name}-ubyte").open("wb") as file:
                np.array([0x800 + len(shape), *shape], ">i4").tofile(file)
                for start in range(0, size, PIECE):
                    draw.integers(0, below, (min(PIECE, size - start), *shape[1:]), dtype=np.uint8).tofile(file)


def write_cifar(root: Path, count: int) -> None:
    folder, draw = root / "cifar-10-batches-py", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data = draw.integers(0, 256, (count // 5, 3072), dtype=np.uint8)
        found = {"data": data, "labels": draw.integers(0, 10, count // 5).tolist()}
        (folder / name).write_bytes(pickle.dumps(found, protocol=2))


@contextmanager
def cifar_at_hand(count: int = 10_000) -> Iterator[bool]:
    """With CIFAR-10 where it is looked for: whether it is the real one."""
    if (data_root() / "cifar-10-batches-py").exists():
        yield True
        return
    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-") as folder:
        write_cifar(Path(folder), count)
        before, os.environ["DLCORE_DATA"] = os.environ.get("DLCORE_DATA", ""), folder
        try:
            yield False
        finally:
            os.environ["DLCORE_DATA"] = before
