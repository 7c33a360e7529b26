import gzip
import hashlib
import http.server
import os
import pickle
import re
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore.catalogue import splits
from dlcore.catalogue.datasets import (
    Cifar10,
    Circles,
    Data,
    DataError,
    FashionMnist,
    Line,
    Mnist,
    Mnist5k,
    Moons,
    PassFail,
    Sine,
    Spirals,
    Xor,
    base,
    data_root,
    load,
)
from dlcore.catalogue.tasks import task_of
from dlcore.settings import choices

KINDS = choices(Data)
DOWNLOADED = {kind: cls for kind, cls in KINDS.items() if hasattr(cls, "published")}
HERE = {kind: cls for kind, cls in KINDS.items() if kind not in DOWNLOADED}
TOYS = [Moons, Circles, Xor, Spirals]
MNIST_FILES = {
    "train-images-idx3-ubyte": (60, None),
    "train-labels-idx1-ubyte": (60, "labels"),
    "t10k-images-idx3-ubyte": (20, None),
    "t10k-labels-idx1-ubyte": (20, "labels"),
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """An empty data root; data sets that other tests loaded are forgotten."""
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    monkeypatch.setattr(base, "_loaded", type(base._loaded)())
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    import requests

    def refuse(*_, **__):
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", refuse)


def parts(found):
    return found.train, found.validation, found.test


def rows(split):
    return {tuple(row) for row in split.inputs.flatten(1).tolist()}


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


# Every set that needs no internet


@pytest.mark.parametrize("kind", HERE)
def test_a_set_has_the_shapes_and_types_that_it_promises(kind):
    data = HERE[kind]()
    found = load(data)
    assert len(found.train) == data.train_size
    for split in parts(found):
        assert split.inputs.shape == (len(split), *data.spec().inputs.shape)
        assert split.inputs.dtype == torch.float32
        assert torch.isfinite(split.inputs).all()
        if task_of(data.spec()).classes:
            assert split.targets.shape == (len(split),)
            assert split.targets.dtype == torch.int64
            assert split.targets.min() >= 0
            assert split.targets.max() < len(task_of(data.spec()).classes)
        else:
            assert split.targets.shape == (len(split), 1)
            assert split.targets.dtype == torch.float32
    if task_of(data.spec()).classes:
        assert found.train.targets.unique().tolist() == list(range(len(task_of(data.spec()).classes)))


@pytest.mark.parametrize("kind", HERE)
def test_training_validation_and_test_share_no_sample(kind):
    train, validation, test = (rows(split) for split in parts(load(HERE[kind]())))
    assert not train & validation
    assert not train & test
    assert not validation & test


@pytest.mark.parametrize("kind", [kind for kind, cls in HERE.items() if "split_seed" in cls.model_fields])
def test_the_split_follows_from_its_seed(kind):
    first, again, other = (HERE[kind](split_seed=seed).load(lambda share: None) for seed in (1, 1, 2))
    for one, two, three in zip(parts(first), parts(again), parts(other), strict=True):
        assert torch.equal(one.inputs, two.inputs)
        assert torch.equal(one.targets, two.targets)
        assert not torch.equal(one.inputs, three.inputs)


@pytest.mark.parametrize("kind", HERE)
def test_loading_leaves_the_random_state_of_the_process_alone(kind):
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    HERE[kind]().load(lambda share: None)
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_the_5000_digits_are_500_of_each_and_every_split_has_its_share():
    found = load(Mnist5k())
    assert [len(split) for split in parts(found)] == [4000, 500, 500]
    for split, share in zip(parts(found), (400, 50, 50), strict=True):
        assert split.targets.bincount().tolist() == [share] * 10


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


def test_a_raw_picture_is_normalised_as_the_training_pictures_were():
    found = load(Mnist5k())
    raw = found.train.inputs[:3] * found.std + found.mean
    torch.testing.assert_close((raw - found.mean) / found.std, found.train.inputs[:3], rtol=1e-5, atol=1e-5)


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


# Loading once and sharing


class Counting:
    """Loads four points and counts; no Data, or it would join the catalogue."""

    def __init__(self, kind="counting", wait=None):
        self.kind, self.times, self.wait = kind, 0, wait

    def load(self, report):
        self.times += 1
        if self.wait:
            assert self.wait.wait(20)
        return Line().load(report)


def test_a_set_is_read_once_and_then_shared():
    data = Counting()
    assert load(data) is load(data)
    assert data.times == 1


def test_another_data_root_is_another_set(tmp_path, monkeypatch):
    data = Counting()
    load(data)
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path / "other"))
    load(data)
    assert data.times == 2


def test_only_the_sets_used_last_are_kept():
    first, *others = [Counting(str(number)) for number in range(base.KEPT + 1)]
    for data in (first, *others[:-1], first, others[-1], first):
        load(data)
    assert first.times == 1
    load(others[0])
    assert others[0].times == 2


def test_two_who_want_the_same_set_at_once_read_it_once():
    data, found = Counting(), []
    threads = [threading.Thread(target=lambda: found.append(load(data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert data.times == 1
    assert len(set(map(id, found))) == 1


def test_a_long_download_holds_up_nobody_who_wants_another_set():
    go = threading.Event()
    slow = Counting("slow", wait=go)
    thread = threading.Thread(target=load, args=(slow,))
    thread.start()
    try:
        other = threading.Thread(target=load, args=(Counting("quick"),), daemon=True)
        other.start()
        other.join(60)
        assert not other.is_alive()
        assert slow.times == 1
    finally:
        go.set()
        thread.join()


def test_a_set_that_failed_is_tried_again(root, offline):
    with pytest.raises(DataError):
        load(Mnist())
    write_mnist(root)
    assert len(load(Mnist()).train) == 54


def test_data_are_kept_where_dlcore_data_says_and_in_data_otherwise(monkeypatch, tmp_path):
    assert data_root() == tmp_path
    for value in (None, ""):
        monkeypatch.delenv("DLCORE_DATA", raising=False)
        if value is not None:
            monkeypatch.setenv("DLCORE_DATA", value)
        assert str(data_root()) == "data"


# Sets on disk, in the layout of torchvision


def check_pictures(found, shape):
    for split in parts(found):
        assert split.inputs.shape == (len(split), *shape)
        assert split.inputs.dtype == torch.float32
        assert split.targets.dtype == torch.int64
    assert not rows(found.train) & rows(found.validation)
    channels = found.train.inputs.double().transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(1), torch.zeros(shape[0], dtype=torch.float64), rtol=0, atol=1e-5)
    torch.testing.assert_close(channels.std(1), torch.ones(shape[0], dtype=torch.float64), rtol=0, atol=1e-4)


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


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine, the files that it has, and what was asked of it."""
    files, asked = {}, []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            asked.append(self.path)
            if self.path.startswith("/broken/") or name not in files:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(files[name])))
            self.end_headers()
            self.wfile.write(files[name])

        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", files, asked
        web.shutdown()
        thread.join()


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
