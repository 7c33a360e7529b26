"""Files of strangers: fetched, checked, and read without trusting them."""

import gzip
import hashlib
import os
import pickle
import tarfile

import numpy as np
import pytest

from dlcore.catalogue.datasets import Cifar10, DataError, Mnist, Mnist5k, load
from tests.catalogue.datasets.files import (
    DOWNLOADED,
    MNIST_FILES,
    check_pictures,
    cifar_batches,
    idx,
    mnist_files,
    parts,
    write_cifar,
    write_mnist,
)

# Files that cannot be trusted


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("where", ["whole", "labels"])
def test_a_pickle_that_would_run_a_command_is_refused_and_does_not_run(root, offline, where, protocol):
    trace = root / "it-ran"
    batch = cifar_batches(str)["data_batch_3"]
    evil = Evil(trace) if where == "whole" else batch | {"labels": Evil(trace)}
    content = pickle.dumps(evil, protocol=protocol)
    write_cifar(root, data_batch_3=content)
    with pytest.raises(DataError, match=r"cifar10.*cannot be read.*system, which no picture needs"):
        load(Cifar10())
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists()  # the trap was a real one


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps({"data": np.zeros((10, 3072), np.uint8)}),
        pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": [0] * 9}),
        pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": [10] * 10}),
        pickle.dumps({"data": np.zeros((10, 3072), np.uint8), "labels": [-1] * 10}),
        pickle.dumps({"data": np.zeros((10, 3071), np.uint8), "labels": [0] * 10}),
        pickle.dumps({"data": None, "labels": [0] * 10}),
        pickle.dumps([1, 2]),
    ],
    ids=["empty", "noise", "no labels", "few labels", "high", "low", "short", "none", "list"],
)
@pytest.mark.parametrize("name", ["data_batch_2", "test_batch"])
def test_a_damaged_cifar_file_is_answered_with_a_sentence(root, offline, name, content):
    write_cifar(root, **{name: content})
    with pytest.raises(DataError) as caught:
        load(Cifar10())
    for words in ("cifar10", str(root), "cannot be read (", "remove it there"):
        assert words in str(caught.value)
    assert "cannot be read ()" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", b"<html>not found</html>"),
        ("train-images-idx3-ubyte", mnist_files()["train-images-idx3-ubyte"][:-100]),
        ("train-labels-idx1-ubyte", idx(np.zeros(59, np.uint8))),
        ("train-labels-idx1-ubyte", idx(np.full(60, 10, np.uint8))),
        ("t10k-labels-idx1-ubyte", idx(np.zeros(0, np.uint8))),
        ("t10k-images-idx3-ubyte", mnist_files(side=27)["t10k-images-idx3-ubyte"]),
    ],
    ids=["empty", "a web page", "cut", "few labels", "an eleventh class", "no labels", "27 pixels"],
)
def test_a_damaged_mnist_file_is_answered_with_a_sentence(root, offline, name, content):
    write_mnist(root, **{name: content})
    with pytest.raises(DataError) as caught:
        load(Mnist())
    for words in ("mnist", str(root), "cannot be read (", "remove it there"):
        assert words in str(caught.value)
    assert "cannot be read ()" not in str(caught.value)


# Downloads, from a server of our own


@pytest.mark.parametrize("kind", DOWNLOADED)
def test_without_internet_the_answer_is_one_sentence_that_says_what_to_do(root, offline, kind):
    with pytest.raises(DataError) as caught:
        load(DOWNLOADED[kind]())
    text = str(caught.value)
    for words in (kind, str(root), "could not be downloaded", "ConnectionError", "internet", "mnist-5k"):
        assert words in text
    assert text.replace(str(root), "").count(".") == 1
    assert text.endswith(".")
    assert "\n" not in text
    assert len(load(Mnist5k()).train) == 4000  # and nothing else breaks


def test_files_that_are_only_partly_there_are_fetched(root, offline):
    raw = write_mnist(root)
    (raw / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="could not be downloaded"):
        load(Mnist())


def serve_mnist(server, monkeypatch, mirrors=("/",)):
    import torchvision

    address, files, _ = server
    files |= {f"{name}.gz": gzip.compress(content) for name, content in mnist_files().items()}
    source = torchvision.datasets.MNIST
    sums = [(f"{name}.gz", hashlib.md5(files[f"{name}.gz"]).hexdigest()) for name in MNIST_FILES]
    monkeypatch.setattr(source, "resources", sums)
    monkeypatch.setattr(source, "mirrors", [address + mirror for mirror in mirrors])


def test_mnist_is_fetched_once_and_its_progress_reported(root, server, monkeypatch):
    serve_mnist(server, monkeypatch)
    heard = []
    found = load(Mnist(), report=heard.append)
    assert [len(split) for split in parts(found)] == [54, 6, 20]
    check_pictures(found, (1, 28, 28))
    assert heard == sorted(heard)
    assert set(heard) >= {0.25, 0.5, 0.75, 1.0}
    assert min(heard) >= 0
    assert max(heard) <= 1
    Mnist(split_seed=5).load(heard.append)
    assert len(server[2]) == 4


def test_a_mirror_that_is_down_is_passed_over(root, server, monkeypatch):
    serve_mnist(server, monkeypatch, ("/broken/", "/"))
    assert len(load(Mnist()).train) == 54
    assert len(server[2]) == 8


def test_a_file_that_arrives_damaged_is_not_kept(root, server, monkeypatch):
    serve_mnist(server, monkeypatch)
    whole = server[1]["train-labels-idx1-ubyte.gz"]
    server[1]["train-labels-idx1-ubyte.gz"] = whole[:-1]
    with pytest.raises(DataError, match="could not be downloaded"):
        load(Mnist())
    assert not (root / "MNIST/raw/train-labels-idx1-ubyte").exists()
    server[1]["train-labels-idx1-ubyte.gz"] = whole
    assert len(load(Mnist()).train) == 54


@pytest.fixture
def cifar_archive(root, server, monkeypatch):
    import torchvision

    source = torchvision.datasets.CIFAR10
    built = root / "built"
    built.mkdir()
    with tarfile.open(built / source.filename, "w:gz") as archive:
        archive.add(write_cifar(built), "cifar-10-batches-py")
    content = (built / source.filename).read_bytes()
    monkeypatch.setattr(source, "url", f"{server[0]}/{source.filename}")
    monkeypatch.setattr(source, "tgz_md5", hashlib.md5(content).hexdigest())
    server[1][source.filename] = content
    return root / source.filename


def test_cifar_is_fetched_and_unpacked(cifar_archive):
    heard = []
    assert len(load(Cifar10(), report=heard.append).train) == 45
    assert heard[-1] == 1
    assert heard == sorted(heard)


def test_an_archive_that_is_there_already_is_unpacked_and_not_fetched_again(cifar_archive, server):
    cifar_archive.write_bytes(server[1][cifar_archive.name])
    assert len(load(Cifar10()).train) == 45
    assert server[2] == []
