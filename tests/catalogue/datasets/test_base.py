"""What every set promises, and that it is loaded once for all who want it."""

import threading

import numpy as np
import pytest
import torch

from dlcore.catalogue.datasets import DataError, Line, Mnist, base, data_root, load
from dlcore.catalogue.tasks import task_of
from tests.catalogue.datasets.files import HERE, parts, rows, write_mnist

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
