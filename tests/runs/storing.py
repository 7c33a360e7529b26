"""Runs, histories and checkpoints for the tests of what keeps them, and what happens to a folder of runs."""

import contextlib
import os
import shutil
import sqlite3
import threading

import numpy as np
import pytest
import torch

from dlcore.history import Epoch, History
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.records import Stored
from dlcore.runs.store import Store, StoreError
from tests.running import MOONS


def row(number, step=None, **measured):
    values = {"train_loss": 0.5, "train_accuracy": 0.25, "val_loss": 1 / number, "val_accuracy": number / 1000}
    values |= {"lr": 0.01, "seconds": number * 0.5, "steps_per_second": 10.0} | measured
    return Epoch(number, number * 10 if step is None else step, **values)


def history(epochs, per_epoch=10, **known):
    losses = np.random.default_rng(epochs).random(epochs * per_epoch).astype(np.float32)
    return History(losses, [row(number, number * per_epoch) for number in range(1, epochs + 1)], **known)


def record(name="moons", **known):
    return Stored(0, name, known.pop("recipe", MOONS), known.pop("history", None) or History(), **known)


def entered(runs, *records):
    """Runs that were trained and saved, and are held by nobody."""
    for one in records:
        one.number = runs.create(one)
        runs.hold(one.number)
        runs.save(one)
        runs.release(one.number)
    return records[0].number


def checkpoint(epochs, place=0, step=None, size=1000):
    weights = {"weights": torch.full((size // 4,), float(epochs))}
    none, memory = torch.zeros(0), {"state": {}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    random = {"cpu": torch.Generator().get_state()}
    places = (epochs, place, epochs * 10 + place if step is None else step)
    return Checkpoint(*places, 1.0, 1.0, 1.0, 0, "adam", weights, memory, random, none, none)


def content(found):
    """What a history holds, in a form in which what is not a number equals itself."""
    return found.losses.tobytes(), repr(found.rows()), found.changes, found.best and found.best.epoch


def grow(one, epochs, per_epoch=10):
    """Another few epochs, as training adds them."""
    for _ in range(epochs):
        for loss in np.random.default_rng(one.history.steps).random(per_epoch):
            one.history.add_step(torch.tensor(loss))
        one.history.add_epoch(row(len(one.history.epochs) + 1, one.history.steps))


def hold_it(root, number, held):
    found = Store(root)
    found.hold(number)
    held.set()
    threading.Event().wait()


def remove_folder(runs):
    shutil.rmtree(runs.root)


def remove_database(runs):
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()


def cut_to_nothing(runs):
    os.truncate(runs.root / "dlcore.db", 0)


def as_it_should_be(root, one):
    """The run is there for whoever comes later, with the weights that it had last, and held by nobody else."""
    with contextlib.closing(Store(root)) as other:
        found = other.open(one.number)
        assert content(found.history) == content(one.history)
        assert (found.name, found.status, found.created) == ("live", "training", one.created)
        assert other.checkpoint(one.number, 3).model["weights"][0] == 3
        assert found.size >= (root / str(one.number) / "epoch-3.pt").stat().st_size
        with pytest.raises(StoreError, match="under way"):
            other.hold(one.number)


def backed_up(runs, held, epochs, other_course=False):
    """A backup of when the run under way had come so far."""
    backup = runs.root.with_name("backup")
    shutil.rmtree(backup, ignore_errors=True)
    with contextlib.closing(Store(backup)) as other:
        entered(other, record("over", history=history(2), status="finished"))
        before = held.history.until(epochs * 10)
        if other_course:
            before = History(before.losses + 1, before.epochs)
        entered(other, record("live", history=before, status="training", created=held.created))
        other.save(other.open(held.number), [checkpoint(epochs)] if epochs else [])
        other.describe(held.number, note="as it was")
    return backup


def restore_folder(runs, backup):
    shutil.rmtree(runs.root)
    backup.rename(runs.root)


def restore_database(runs, backup):
    """What SQLite keeps beside the one before stays, and is no part of this one."""
    (backup / "dlcore.db").replace(runs.root / "dlcore.db")


def lost(runs):
    """The list of runs is lost; the folders are all that is left."""
    runs.close()
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()
    return Store(runs.root)


DESCRIBED = {"name": "renamed 😀", "note": "My own words.", "tags": ("a", "b")}


def description(runs, number):
    found = runs.open(number)
    return {"name": found.name, "note": found.note, "tags": found.tags}


def refused(connect, file, how):
    """A connection that may read alone."""
    if how == "mode=rwc":
        raise sqlite3.OperationalError("attempt to write a readonly database")
    return connect(file, how)
