"""Files: data sets in the formats of who publishes them, made up and small, and what is read of them."""

import pickle
import struct

import numpy as np
import torch

from dlcore.catalogue.datasets import Data
from dlcore.settings import choices

KINDS = choices(Data)
DOWNLOADED = {kind: cls for kind, cls in KINDS.items() if hasattr(cls, "published")}
HERE = {kind: cls for kind, cls in KINDS.items() if kind not in DOWNLOADED}

MNIST_FILES = {
    "train-images-idx3-ubyte": (60, None),
    "train-labels-idx1-ubyte": (60, "labels"),
    "t10k-images-idx3-ubyte": (20, None),
    "t10k-labels-idx1-ubyte": (20, "labels"),
}


def parts(found):
    return found.train, found.validation, found.test


def rows(split):
    return {tuple(row) for row in split.inputs.flatten(1).tolist()}


def check_pictures(found, shape):
    for split in parts(found):
        assert split.inputs.shape == (len(split), *shape)
        assert split.inputs.dtype == torch.float32
        assert split.targets.dtype == torch.int64
    assert not rows(found.train) & rows(found.validation)
    channels = found.train.inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(shape[0], dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(channels.std(1), torch.ones(shape[0], dtype=torch.float64), rtol=0, atol=1e-4)


def idx(array):
    """The format of http://yann.lecun.com/exdb/mnist/: zeros, type, dimensions, sizes, bytes."""
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_files(side=28):
    random, files = np.random.default_rng(0), {}
    for name, (count, labels) in MNIST_FILES.items():
        pixels = random.integers(0, 256, (count, side, side), dtype=np.uint8)
        files[name] = idx(np.arange(count, dtype=np.uint8) % 10 if labels else pixels)
    return files


def write_mnist(root, folder="MNIST", **changes):
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, content in (mnist_files() | changes).items():
        (raw / name).write_bytes(content)
    return raw


def cifar_batches(keys):
    random, files = np.random.default_rng(1), {}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {
            "data": random.integers(0, 256, (10, 3072), dtype=np.uint8),
            "labels": list(range(10)),
            "batch_label": name,
            "filenames": [f"{number}.png" for number in range(10)],
        }
        files[name] = {keys(key): value for key, value in batch.items()}
    return files


def write_cifar(root, keys=str, protocol=2, **changes):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name, batch in (cifar_batches(keys) | changes).items():
        (folder / name).write_bytes(batch if isinstance(batch, bytes) else pickle.dumps(batch, protocol=protocol))
    return folder


def python_2_pickle(batch):
    """As Python 2 wrote CIFAR-10: keys and pixels are 8-bit strings, which today's pickle cannot write."""
    pixels = batch["data"].tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
        + b"(I1\n(I10\nI3072\ntcnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\n"
        + b"T"
        + struct.pack("<i", len(pixels))
        + pixels
        + b"tb"
    )
    labels = b"(l" + b"".join(b"I%d\na" % label for label in batch["labels"])
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u."
