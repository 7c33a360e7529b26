import contextlib
import gc
import importlib.metadata
import json
import math
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.optimizers import Adam
from dlcore.history import Change, Epoch, History
from dlcore.runs import checkpoints, folders, store
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.records import Branch, Failure, Stored
from dlcore.runs.store import GRACE, SCHEMA, Store, StoreError
from pages.parts.charts import loss_figure
from tests.running import MOONS, changed, forkserver
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
NAMES = [
    "plain",
    "../../etc/passwd",
    "a/b\\c",
    'it\'s "quoted"; DROP TABLE runs; --',
    "Ünïcödé 😀👩‍👩‍👧 數字",
    "%s {0} ?1 :name",
    "<b>bold</b> **md** $x$",
    "x" * 100,
]


@pytest.fixture(scope="module")
def forked():
    return forkserver()


@pytest.fixture
def runs(tmp_path):
    found = Store(tmp_path / "runs")
    yield found
    found.close()


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


# Runs, there and back


def test_a_run_is_read_as_it_was_written(runs):
    parent = entered(runs, record("parent", status="stopped"))
    made = [Change(3, "optimizer.lr", 0.5), Change(3, "pace", None), Change(15, "stop.not_a_number", False)]
    one = record(
        "moons",
        history=history(4, changes=made),
        reason="it was enough",
        failure=Failure("Broken.", "Traceback …\n"),
        race=parent,
        branch=Branch(parent, 1, 10),
        steps_per_epoch=10,
        offset=3,
        created=1234567890.5,
        status="failed",
        elapsed=12.5,
        stepping=11.25,
    )
    found = runs.open(entered(runs, one))
    assert content(found.history) == content(one.history)
    for name in ("number", "name", "first_recipe", "recipe", "reason", "failure", "race", "branch", "steps_per_epoch"):
        assert getattr(found, name) == getattr(one, name), name
    for name in ("offset", "created", "status", "elapsed", "stepping", "epoch", "total_steps"):
        assert getattr(found, name) == getattr(one, name), name
    assert (found.parent_name, found.note, found.tags, found.deleted, found.size) == ("parent", "", (), None, 0)
    assert found.environment["torch"] == importlib.metadata.version("torch")
    assert {"python", "numpy", "system", "device"} <= found.environment.keys()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_survive(runs, bad):
    rows = [row(1), row(2, train_loss=bad, val_loss=bad), row(3, train_accuracy=None, val_accuracy=None)]
    one = record(history=History([1.0, bad, 2.0], rows), status="failed")
    number = entered(runs, one)
    assert content(runs.open(number).history) == content(one.history)
    (told,) = runs.rows()
    assert told["val_loss"] == 1 / 3


def test_a_row_tells_the_last_epoch_and_the_best(runs):
    rows = [row(1, val_accuracy=0.5), row(2, val_accuracy=0.9), row(3, val_accuracy=0.7, val_loss=math.nan)]
    made = [Change(0, "epochs", 40), Change(20, "epochs", 50)]
    one = record(history=History(np.zeros(31), rows, made), status="stopped", elapsed=2.0, steps_per_epoch=10)
    number = entered(runs, one)
    runs.describe(number, note="a note", tags=["a", "b"])
    (found,) = runs.rows()
    expected = {
        **{"number": number, "name": "moons", "status": "stopped", "reason": "", "epoch": 3, "step": 31},
        **{"val_accuracy": 0.7, "val_loss": None, "train_loss": 0.5, "seconds": 1.5},
        **{"best_epoch": 2, "best_val_accuracy": 0.9, "best_val_loss": 0.5, "created": one.created, "elapsed": 2.0},
        **{"tags": ["a", "b"], "note": "a note", "race": None, "parent": None, "parent_epoch": None, "size": 0},
        **{"data": "moons", "model": "mlp", "optimizer": "adam", "lr": 0.001, "epochs": 50},
    }
    assert found == expected


def test_a_branch_has_the_epochs_of_its_own_recipe_not_those_its_parent_changed_to(runs):
    made = [Change(5, "epochs", 50)]
    one = record(history=history(2, changes=made), branch=Branch(1, 1, 10), status="stopped")
    entered(runs, one)
    assert runs.rows()[0]["epochs"] == MOONS.epochs
    own = record(history=history(2, changes=[*made, Change(12, "epochs", 7)]), branch=Branch(1, 1, 10))
    entered(runs, own)
    assert runs.rows()[0]["epochs"] == 7 == runs.open(own.number).recipe.epochs


@pytest.mark.parametrize("name", NAMES)
def test_names_notes_and_tags_of_any_letters_survive(runs, name):
    number = entered(runs, record(name, status="finished"))
    runs.describe(number, note=name * 100, tags=[name[:40], "b"])
    found = runs.open(number)
    assert (found.name, found.note, found.tags) == (name, name * 100, (name[:40], "b"))
    runs.describe(number, name=name[::-1])
    assert runs.rows()[0]["name"] == name[::-1]
    assert sorted(path.name for path in runs.root.parent.iterdir()) == ["runs"]


def test_a_race_has_all_its_runs_that_are_not_deleted(runs):
    assert runs.race() == runs.race(1) == []
    entered(runs, record("alone"), *(record(name, race=2) for name in "abc"), record("later"))
    entered(runs, record("d", race=6), record("between"), record("e", race=6))
    assert runs.race() == runs.race(6) == [6, 8]
    assert runs.race(2) == [2, 3, 4]
    assert runs.race(1) == runs.race(3) == []
    runs.delete(3)
    assert runs.race(2) == [2, 4]
    runs.delete(6)
    runs.delete(8)
    assert runs.race() == [2, 4]


def test_rows_are_newest_first_and_numbers_oldest_first(runs):
    entered(runs, *[record(str(count), status="finished") for count in range(5)])
    assert [one["name"] for one in runs.rows()] == ["4", "3", "2", "1", "0"]
    assert runs.numbers() == [1, 2, 3, 4, 5]


def test_a_run_that_is_not_there_is_told(runs):
    for call in (runs.open, runs.delete, runs.bring_back):
        with pytest.raises(StoreError, match=f"There is no run 7 in {runs.root}"):
            call(7)
    assert runs.checkpoints(7) == runs.epochs_kept(7) == []


def test_settings_are_kept(runs):
    assert runs.setting("at_once", 2) == 2
    for value in (None, 5, {"a": [1]}):
        runs.set_setting("at_once", value)
        with contextlib.closing(Store(runs.root)) as other:
            assert other.setting("at_once", 2) == value


@pytest.mark.parametrize("name", ["with space", "100%25", "a#b", "a?mode=memory", "ünï 😀", "'quoted\""])
def test_a_folder_may_have_any_name(tmp_path, name):
    with contextlib.closing(Store(tmp_path / name)) as runs:
        entered(runs, record("here"))
    assert (tmp_path / name / "dlcore.db").stat().st_size
    with contextlib.closing(Store(tmp_path / name)) as runs:
        assert runs.rows()[0]["name"] == "here"


# Saving again and again


def grow(one, epochs, per_epoch=10):
    """Another few epochs, as training adds them."""
    for _ in range(epochs):
        for loss in np.random.default_rng(one.history.steps).random(per_epoch):
            one.history.add_step(torch.tensor(loss))
        one.history.add_epoch(row(len(one.history.epochs) + 1, one.history.steps))


def test_only_what_is_new_is_read_and_it_equals_a_whole_reading(runs):
    one = record(status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    before = None
    for epochs in (0, 1, 3, 0, 2):
        grow(one, epochs)
        one.history.add_step(torch.tensor(0.25))
        runs.save(one)
        before = runs.open(one.number, before)
        assert content(before.history) == content(runs.open(one.number).history) == content(one.history)


@pytest.mark.parametrize("kept", [0, 5, 20, 23, 40])
@pytest.mark.parametrize("then", [0, 1, 3])
def test_what_is_new_is_read_rightly_after_the_writer_went_back(runs, kept, then):
    """It went back to some step, and then on by another way, past where it was."""
    number = entered(runs, record(history=history(4), status="interrupted"))
    before = runs.open(number)
    runs.rewind(number, kept, (kept // 10, kept % 10))
    again = record(history=before.history.until(kept), status="training")
    again.number = number
    assert content(runs.open(number, before).history) == content(runs.open(number).history)
    grow(again, then)
    runs.hold(number)
    runs.save(again)
    found = runs.open(number, before)
    assert content(found.history) == content(again.history)
    grow(again, 2)
    runs.save(again)
    assert content(runs.open(number, found).history) == content(again.history)


def test_to_go_back_takes_what_is_later_and_leaves_the_rest(runs):
    number = entered(runs, record(history=history(4)))
    runs.hold(number)
    runs.save(runs.open(number), [checkpoint(1), checkpoint(2), checkpoint(3)])
    folder = runs.root / str(number)
    for name in ("epoch-2+3.pt", "epoch-2+9.pt", "epoch-3+1.pt", "epoch-9.partial"):
        (folder / name).write_bytes(b"")
    before = runs.open(number).history
    runs.rewind(number, 23, (2, 3))
    assert content(runs.open(number).history) == content(before.until(23))
    assert [(kept.epoch, kept.place) for kept in runs.checkpoints(number)] == [(2, 3), (2, 0), (1, 0)]
    left = ["epoch-1.pt", "epoch-2+3.pt", "epoch-2.pt", "lock", "run.json"]
    assert sorted(path.name for path in folder.iterdir()) == left


def test_changes_that_were_taken_back_are_gone(runs):
    one = record(history=history(2, changes=[Change(3, "optimizer.lr", 0.5), Change(9, "optimizer.lr", 0.7)]))
    number = entered(runs, one)
    one.history.changes = one.history.changes[:1]
    runs.save(one)
    assert runs.open(number).history.changes == [Change(3, "optimizer.lr", 0.5)]


def test_a_reader_sees_a_run_whole_while_it_is_rewound_and_written(runs):
    """Losses, epochs and the row itself belong together, whenever one looks."""
    number = entered(runs, record(history=history(4), status="interrupted"))
    original, done = store._read_on, threading.Event()

    def slowly(*arguments):
        with contextlib.closing(Store(runs.root)) as other:  # as another process would, just then
            other.rewind(number, 5, (0, 5))
        done.set()
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_read_on", slowly)
        found = runs.open(number)
    assert done.is_set()
    assert len(found.history.losses) == 40
    assert len(found.history.epochs) == 4
    assert len(runs.open(number, found).history.losses) == 5


# A million steps


def test_a_million_steps_open_and_draw_without_losing_an_extreme(runs):
    steps, random = 1_000_000, np.random.default_rng(0)
    losses = (1 + 0.1 * random.random(steps)).astype(np.float32)
    peaks, dips = random.choice(np.arange(1, steps - 1), 6, replace=False).reshape(2, 3)
    losses[peaks], losses[dips] = (9.0, 9.5, 9.25), (0.25, 0.5, 0.125)
    losses[[0, -1]] = 2.0, 0.75
    epochs = [row(number, number * 1000, val_loss=1.5, val_accuracy=0.5) for number in range(1, 1001)]
    epochs[516] = replace(epochs[516], val_loss=0.0625, val_accuracy=0.875)
    one = record(
        history=History(losses, epochs), status="finished", steps_per_epoch=1000, recipe=changed(MOONS, epochs=1000)
    )
    number = entered(runs, one)
    found = runs.open(number)
    assert found.history.losses.tobytes() == losses.tobytes()
    assert found.history.best.epoch == 517
    traces = {trace["uid"]: trace for trace in loss_figure([found])["data"]}
    each = dict(zip(traces[f"each-{number}"]["x"], traces[f"each-{number}"]["y"], strict=True))
    assert (max(each.values()), min(each.values())) == (9.5, 0.125)
    for place in (*peaks, *dips, 0, steps - 1):
        assert each[place + 1] == losses[place]
    assert 0.0625 in traces[f"val_loss-{number}"]["y"]
    assert sum(len(trace["x"]) for trace in traces.values()) < 3000  # what is sent does not grow with the run


# Checkpoints


def test_checkpoints_are_listed_latest_first_and_only_those(runs):
    number = entered(runs, record(status="finished"))
    folder = runs.root / str(number)
    for name in ("epoch-2.pt", "epoch-10.pt", "epoch-9+11.pt", "epoch-9+2.pt", "epoch-1.partial", "epoch-x.pt", "a.pt"):
        (folder / name).write_bytes(b"")
    found = [(kept.epoch, kept.place) for kept in runs.checkpoints(number)]
    assert found == [(10, 0), (9, 11), (9, 2), (2, 0)]
    assert runs.epochs_kept(number) == [2, 10]


def test_those_worth_keeping_are_kept_and_one_in_the_middle_of_an_epoch(runs):
    one = record(status="training", history=history(60))
    one.history.best = one.history.epochs[6]
    one.number = runs.create(one)
    runs.hold(one.number)
    for epoch in range(1, 51):
        runs.save(one, [checkpoint(epoch)])
    runs.save(one, [checkpoint(50, 3)])
    kept = runs.epochs_kept(one.number)
    assert {49, 50, 7} <= set(kept)
    assert [number for number in kept if number not in (7, 49)] == list(range(4, 51, 4)) + [50] * (50 % 4 > 0)
    assert runs.checkpoints(one.number)[0][:2] == (50, 3)
    files = [file.stat().st_size for file in (runs.root / str(one.number)).glob("*.pt")]
    assert runs.open(one.number).size == sum(files)
    runs.save(one, [checkpoint(51)])
    assert [found[:2] for found in runs.checkpoints(one.number)][:2] == [(51, 0), (50, 0)]


def test_a_branch_keeps_the_checkpoint_that_it_began_from(runs):
    one = record(status="training", history=history(60), branch=Branch(1, 7, 70))
    one.number = runs.create(one)
    runs.hold(one.number)
    for epoch in range(7, 61):
        runs.save(one, [checkpoint(epoch)])
    assert runs.epochs_kept(one.number)[0] == 7


def test_a_checkpoint_is_read_by_its_epoch(runs):
    number = entered(runs, record(history=history(3)))
    runs.save(runs.open(number), [checkpoint(1), checkpoint(2), checkpoint(2, 5)])
    assert runs.checkpoint(number, 2).model["weights"][0] == 2
    with pytest.raises(StoreError, match=f"Run {number} has no checkpoint of epoch 3; it has those of epochs: 1, 2"):
        runs.checkpoint(number, 3)
    (runs.root / str(number) / "epoch-2.pt").write_bytes(b"x")
    with pytest.raises(StoreError, match="checkpoint of epoch 2 of run 1 cannot be used: it is damaged"):
        runs.checkpoint(number, 2)


@pytest.mark.parametrize("spoil", [1, 2, 3])
def test_the_latest_that_can_be_used_is_used_and_each_other_is_told(runs, spoil, monkeypatch):
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    number = entered(runs, record(history=history(3)))
    runs.save(runs.open(number), [checkpoint(1), checkpoint(2), checkpoint(2, 5)])
    for kept in runs.checkpoints(number)[:spoil]:
        kept.file.write_bytes(kept.file.read_bytes()[:100])
    found, passed = runs.latest(runs.open(number))
    assert (found and (found.epochs, found.place)) == {1: (2, 0), 2: (1, 0), 3: None}[spoil]
    assert len(passed) == spoil
    assert all("was passed over: it is damaged" in text and f"of run {number}" in text for text in passed)


def test_a_checkpoint_that_knows_more_than_the_history_is_not_used(runs, monkeypatch):
    """As after a power cut that took the last of the database."""
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    number = entered(runs, record(history=history(2)))
    runs.save(runs.open(number), [checkpoint(1), checkpoint(2), checkpoint(3)])
    found, passed = runs.latest(runs.open(number))
    assert (found.epochs, passed) == (2, [])


def test_weights_of_another_network_are_passed_over(runs):
    number = entered(runs, record(history=history(2)))
    runs.save(runs.open(number), [checkpoint(1)])
    found, passed = runs.latest(runs.open(number))
    assert found is None
    assert "another network than this mlp" in passed[0]


def test_an_optimizers_memory_of_another_network_is_passed_over(runs):
    """Or the run would fail at its first step, though it could go on from the checkpoint before."""
    number = entered(runs, record(history=history(2)))
    model = skeleton(MOONS.model, MOONS.shape, MOONS.outputs).to_empty(device="cpu")
    weights = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    memory = Adam().build(model.parameters()).state_dict()
    whole = replace(checkpoint(1), model=weights, optimizer=memory)
    forged = replace(checkpoint(2), model=weights, optimizer=memory | {"state": {0: {"exp_avg": torch.zeros(3)}}})
    runs.save(runs.open(number), [whole, forged])
    found, passed = runs.latest(runs.open(number))
    assert found.epochs == 1
    assert passed == [
        "The checkpoint epoch-2.pt of run 1 was passed over: its optimizer's memory does not fit this run."
    ]


def test_a_folder_in_the_place_of_a_checkpoint_is_passed_over_and_hinders_nothing(runs, monkeypatch):
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    number = entered(runs, record(history=history(4)))
    folder = runs.root / str(number)
    runs.hold(number)
    runs.save(runs.open(number), [checkpoint(1)])
    for name in ("epoch-2.pt", "epoch-2+3.pt", "epoch-3.pt", "epoch-9.partial"):
        (folder / name).mkdir()
        (folder / name / "mine").write_text("notes")
    found, passed = runs.latest(runs.open(number))
    assert (found.epochs, len(passed)) == (1, 3)
    assert passed[0] == f"The checkpoint epoch-3.pt of run {number} was passed over: it is a folder."
    assert runs.epochs_kept(number) == [1]
    with pytest.raises(StoreError, match="checkpoint of epoch 2 of run 1 cannot be used: it is a folder"):
        runs.checkpoint(number, 2)
    for epoch in range(2, 5):
        runs.save(runs.open(number), [checkpoint(epoch)])
    assert runs.epochs_kept(number) == [1, 2, 3, 4]
    assert runs.open(number).size == sum((folder / f"epoch-{epoch}.pt").stat().st_size for epoch in range(1, 5))
    assert f"{folder / 'epoch-3.pt'} is a checkpoint's place" in runs.problem
    runs.rewind(number, 20, (2, 0))
    assert runs.epochs_kept(number) == [1, 2]
    kept = sorted(str(file.relative_to(folder)) for file in folder.rglob("mine"))
    assert kept == ["epoch-2+3.pt/mine", "epoch-2.pt.1/mine", "epoch-3.pt.1/mine", "epoch-9.partial/mine"]


def test_weights_that_are_no_numbers_are_passed_over(runs, monkeypatch):
    """As of a run that was told not to mind."""
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    number = entered(runs, record(history=history(3)))
    runs.save(runs.open(number), [checkpoint(1), checkpoint(2)])
    bad = checkpoint(3)
    bad.model["weights"][5] = math.nan
    runs.save(runs.open(number), [bad])
    found, passed = runs.latest(runs.open(number))
    assert found.epochs == 2
    assert "epoch-3.pt of run 1 was passed over: it holds weights that are no numbers" in passed[0]


def test_others_can_use_the_store_while_a_checkpoint_is_written(runs, monkeypatch):
    """A large one takes seconds; neither the pages of this process nor another process waits for it."""
    writing, go_on = threading.Event(), threading.Event()
    write = checkpoints.write

    def slowly(*arguments):
        writing.set()
        assert go_on.wait(100)
        write(*arguments)

    monkeypatch.setattr(checkpoints, "write", slowly)
    number = entered(runs, record(history=history(1)))
    thread = threading.Thread(target=lambda: runs.save(runs.open(number), [checkpoint(1)]))
    thread.start()
    assert writing.wait(60)
    found = []
    reader = threading.Thread(target=lambda: found.append(runs.rows()))
    reader.start()
    reader.join(60)
    assert found
    with contextlib.closing(Store(runs.root)) as other:
        other._connection.execute("PRAGMA busy_timeout = 0")
        other.describe(number, note="meanwhile")
    go_on.set()
    thread.join(30)
    assert runs.open(number).note == "meanwhile"
    assert runs.open(number).size > 0


def test_a_run_is_not_said_to_be_over_before_its_last_checkpoint_is_there(runs, monkeypatch):
    """Or a process that is killed between the two leaves a finished run behind that lacks its end."""
    run, seen = record(status="training", history=history(2)), []
    run.number = runs.create(run)
    runs.hold(run.number)
    runs.save(run)
    write = checkpoints.write

    def watched(found, file):
        seen.append(runs.rows()[0]["status"])
        write(found, file)

    monkeypatch.setattr(checkpoints, "write", watched)
    run.status, run.reason = "finished", "its time was over"
    runs.save(run, [checkpoint(2)])
    assert seen == ["training"]
    assert (runs.open(run.number).status, runs.open(run.number).reason) == ("finished", "its time was over")


# Who writes


def hold_it(root, number, held):
    found = Store(root)
    found.hold(number)
    held.set()
    threading.Event().wait()


@pytest.fixture
def holder(runs, forked):
    """Another process that holds a run until it is killed."""
    started = []

    def hold(number):
        held = forked.Event()
        started.append(forked.Process(target=hold_it, args=(runs.root, number, held)))
        started[-1].start()
        assert held.wait(60)
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.join()


def test_a_run_has_one_writer_whose_death_makes_it_interrupted(runs, holder):
    number = entered(runs, record(status="training"))
    assert runs.open(number).status == runs.rows()[0]["status"] == "interrupted"
    process = holder(number)
    assert runs.open(number).status == runs.rows()[0]["status"] == "training"
    for refused in (runs.hold, runs.delete):
        with pytest.raises(StoreError, match=f"Run {number} is under way"):
            refused(number)
    process.kill()
    process.join()
    assert runs.open(number).status == runs.rows()[0]["status"] == "interrupted"
    assert [row["number"] for row in runs.interrupted(5)] == [number]
    runs.hold(number)
    assert runs.open(number).status == "training"
    assert runs.interrupted(5) == []
    with pytest.raises(StoreError, match="under way already, here or in another process"):
        runs.hold(number)
    runs.release(number)
    runs.release(number)  # twice is fine
    assert runs.open(number).status == "interrupted"


@pytest.mark.parametrize("status", ["finished", "stopped", "failed", "interrupted"])
def test_what_is_over_stays_what_it_is(runs, status):
    number = entered(runs, record(status=status))
    assert runs.open(number).status == status
    runs.hold(number)
    assert runs.open(number).status == status


def test_many_who_look_at_once_never_take_each_other_for_the_writer(runs):
    number = entered(runs, record(status="training"))
    found, others = set(), [Store(runs.root) for _ in range(6)]

    def look(one):
        for _ in range(60):
            found.add(one.rows()[0]["status"])

    threads = [threading.Thread(target=look, args=[one]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert found == {"interrupted"}
    runs.hold(number)  # nor do they keep the one away who wants to go on with it


def test_who_looks_is_not_taken_for_the_writer_where_looking_takes_the_lock(runs, monkeypatch, holder):
    """As on Windows, where there is nothing else to look with."""
    monkeypatch.setattr(store, "fcntl", None)
    number = entered(runs, record(status="training"))
    looking, go_on, found = threading.Event(), threading.Event(), []

    class Slow(store.FileLock):
        """The lock of a run, which the first to look holds for a long moment."""

        def __exit__(self, *error):
            if Path(self.lock_file).name == "lock" and not looking.is_set():
                looking.set()
                assert go_on.wait(60)
            super().__exit__(*error)

    monkeypatch.setattr(store, "FileLock", Slow)
    others = [threading.Thread(target=lambda: found.append(runs.rows()[0]["status"])) for _ in range(3)]
    others[0].start()
    assert looking.wait(30)
    for thread in others[1:]:
        thread.start()
    others[1].join(0.5)  # one that takes the other for the writer says so at once
    go_on.set()
    for thread in others:
        thread.join(30)
    assert found == ["interrupted"] * 3
    runs.hold(number)
    assert runs.open(number).status == "training"
    runs.release(number)
    process = holder(number)
    assert runs.open(number).status == "training"
    process.kill()
    process.join()
    assert runs.open(number).status == "interrupted"


# Deleting


def test_a_deleted_run_is_out_of_sight_and_can_be_brought_back(runs):
    entered(runs, record("a", status="finished"), record("b", status="finished"))
    before = time.time()
    runs.delete(1)
    assert before <= runs.open(1).deleted <= time.time()
    assert runs.numbers() == [2]
    assert [one["name"] for one in runs.rows()] == ["b"]
    assert [one["name"] for one in runs.rows(deleted=True)] == ["a"]
    with pytest.raises(StoreError, match="Run 1 is deleted already"):
        runs.delete(1)
    runs.bring_back(1)
    assert runs.numbers() == [1, 2]
    assert runs.open(1).deleted is None
    with pytest.raises(StoreError, match="Run 1 is not deleted"):
        runs.bring_back(1)


@pytest.fixture
def clock(monkeypatch):
    """The wall clock, to be set to so many seconds from now."""
    now = time.time()
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: now + seconds)


def opened_later(runs, clock, seconds):
    """The numbers of the runs that can be brought back after a start at that time."""
    clock(seconds)
    with contextlib.closing(Store(runs.root)) as later:
        return [row["number"] for row in later.rows(deleted=True)]


def test_a_day_later_and_another_one_it_is_gone_for_good_and_its_number_is_not_given_again(runs, clock):
    entered(runs, *[record(name, history=history(1), status="finished") for name in ("a", "b", "c")])
    for number in (2, 3):
        runs.save(runs.open(number), [checkpoint(1)])
        runs.delete(number)
    assert opened_later(runs, clock, GRACE - 60) == [3, 2]
    runs.bring_back(2)
    assert opened_later(runs, clock, GRACE + 60) == [3]  # as far as this clock can be believed
    assert opened_later(runs, clock, 2 * GRACE) == [3]
    assert opened_later(runs, clock, 2 * GRACE + 120) == []
    with contextlib.closing(Store(runs.root)) as later:
        assert later.numbers() == [1, 2]
        assert not (runs.root / "3").exists()
        assert (runs.root / "2" / "epoch-1.pt").exists()
        for table in ("losses", "epochs", "changes"):
            left = later._connection.execute(f"SELECT count(*) FROM {table} WHERE run = 3").fetchone()[0]
            assert left == 0, table
        assert later.create(record()) == 4


YEARS = 3 * 365 * GRACE


@pytest.mark.parametrize("jump", [GRACE + 60, YEARS])
def test_a_clock_that_jumps_ahead_and_back_takes_nothing_along(runs, clock, jump):
    entered(runs, record(status="finished"))
    runs.delete(1)
    for seconds in (60, jump, jump + 3600, 120, jump, jump + 60, 180, GRACE - 60):
        assert opened_later(runs, clock, seconds) == [1], seconds
    runs.bring_back(1)
    assert runs.open(1).deleted is None
    runs.delete(1)  # what was found out before is not held against it
    assert opened_later(runs, clock, 2 * GRACE + 600) == [1]


def test_a_clock_that_is_set_back_keeps_nothing_for_ever(runs, clock):
    entered(runs, record(status="finished"))
    clock(YEARS)
    runs.delete(1)
    assert opened_later(runs, clock, 0) == [1]
    assert opened_later(runs, clock, GRACE - 60) == [1]
    assert opened_later(runs, clock, GRACE + 60) == [1]
    assert opened_later(runs, clock, 2 * GRACE + 120) == []


def test_what_cannot_be_removed_at_a_start_keeps_nobody_from_starting(runs, clock, monkeypatch):
    entered(runs, record(status="finished"))
    runs.delete(1)
    assert opened_later(runs, clock, GRACE + 60) == [1]

    def refuse(self, number):
        raise StoreError("Not now.")

    clock(3 * GRACE)
    monkeypatch.setattr(Store, "remove", refuse)
    with contextlib.closing(Store(runs.root)) as later:
        assert later.problem == "Not now."
        assert [row["number"] for row in later.rows(deleted=True)] == [1]


# Formats


def test_an_older_database_is_brought_up_to_date(runs, monkeypatch):
    number = entered(runs, record(history=history(2), status="finished"))
    runs.describe(number, note="an old one")
    before = runs.open(number)
    runs.close()
    monkeypatch.setattr(store, "SCHEMA", (*SCHEMA, "ALTER TABLE runs ADD COLUMN stars INTEGER NOT NULL DEFAULT 3;"))
    with contextlib.closing(Store(runs.root)) as newer:
        assert newer._connection.execute("SELECT stars FROM runs").fetchone()[0] == 3
        assert content(newer.open(number).history) == content(before.history)
        assert (newer.open(number).note, newer.problem, newer.writable) == ("an old one", "", True)
        assert newer.create(record()) == number + 1
        assert newer._connection.execute("SELECT count(*) FROM sqlite_sequence").fetchone()[0] == 1
    with contextlib.closing(Store(runs.root)) as again:
        assert len(again.rows()) == 2


def test_an_upgrade_that_fails_changes_nothing(runs, monkeypatch):
    number = entered(runs, record(status="finished"))
    runs.close()
    script = "ALTER TABLE runs ADD COLUMN stars INTEGER NOT NULL DEFAULT 3; SELECT stars FROM nowhere;"
    with monkeypatch.context() as patch:
        patch.setattr(store, "SCHEMA", (*SCHEMA, script))
        with pytest.raises(StoreError, match="no such table: nowhere"):
            Store(runs.root)
    with contextlib.closing(Store(runs.root)) as found:
        assert found.open(number).status == "finished"
        assert "stars" not in found._connection.execute("SELECT * FROM runs").fetchone().keys()  # noqa: SIM118


def test_a_newer_database_is_refused_and_left_alone(runs):
    entered(runs, record(status="finished"))
    runs._connection.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
    runs.close()
    before = (runs.root / "dlcore.db").read_bytes()
    with pytest.raises(StoreError, match=f"has format {len(SCHEMA) + 1}.*up to {len(SCHEMA)}: update dlcore"):
        Store(runs.root)
    assert (runs.root / "dlcore.db").read_bytes() == before


def test_a_run_of_a_newer_format_is_refused_and_hinders_no_other(runs):
    one, two = record("new", status="finished"), record("old", status="finished")
    entered(runs, one, two)
    query = "UPDATE runs SET format = 2, recipe = ? WHERE number = ?"
    runs._connection.execute(query, ['{"an": "idea"}', one.number])
    with pytest.raises(StoreError, match=f"Run {one.number} has format 2.*reads up to 1: update dlcore"):
        runs.open(one.number)
    assert [found["name"] for found in runs.rows()] == ["old", "new"]
    assert runs.open(two.number).name == "old"


@pytest.mark.parametrize("recipe", ["", "[]", '{"model": {"kind": "transformer"}}', '{"epochs": 0}'])
def test_a_recipe_that_cannot_be_read_is_a_sentence(runs, recipe):
    number = entered(runs, record(status="finished"))
    runs._connection.execute("UPDATE runs SET recipe = ? WHERE number = ?", [recipe, number])
    with pytest.raises(StoreError, match=f"Run {number} cannot be read: "):
        runs.open(number)


def test_changes_of_settings_that_there_are_not_are_a_sentence(runs):
    number = entered(runs, record(history=history(1), status="finished"))
    runs._connection.execute("INSERT INTO changes VALUES (?, 3, 'optimizer.charm', '1')", [number])
    with pytest.raises(StoreError, match=f"Run {number} cannot be read: optimizer.charm"):
        runs.open(number)


# Damage


def spoil_header(file):
    file.write_bytes(b"These are the notes of a person" + file.read_bytes()[31:])


def spoil_text(file):
    file.write_bytes(b"These are the notes of a person.\n" * 300)


def spoil_middle(file):
    content = file.read_bytes()
    page = 4096
    file.write_bytes(content[:page] + os.urandom(len(content) - page))


@pytest.mark.parametrize("spoil", [spoil_header, spoil_text, spoil_middle])
def test_a_damaged_database_stays_as_it_is_and_a_new_one_begins(runs, spoil):
    entered(runs, record("a", history=history(3), status="finished"), record("b", status="finished"))
    runs.save(runs.open(2), [checkpoint(1)])
    runs.close()
    spoil(runs.root / "dlcore.db")
    damaged = (runs.root / "dlcore.db").read_bytes()
    with contextlib.closing(Store(runs.root)) as found:
        assert found.writable
        assert str(runs.root / "dlcore.db") in found.problem
        assert "damaged" in found.problem
        assert "\n" not in found.problem
        assert found.rows() == []
        assert entered(found, record("c", status="finished")) == 3  # the checkpoints of 1 and 2 are theirs
        assert found.open(3).name == "c"
    assert (runs.root / "dlcore.db").read_bytes() == damaged
    assert (runs.root / "2" / "epoch-1.pt").exists()
    with contextlib.closing(Store(runs.root)) as again:
        assert [one["name"] for one in again.rows()] == ["c"]
        assert again.problem == ""


def test_damage_that_shows_later_is_told_and_the_run_enters_the_new_database_whole(runs):
    """The pages of losses alone are damaged: the store opens, and whoever reads on meets them."""
    one = record("a", history=history(50, per_epoch=1000), status="training", recipe=changed(MOONS, epochs=60))
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one)
    made = [Change(7, "optimizer.lr", 0.5)]
    one.history.changes = made
    db = runs._connection
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = db.execute("PRAGMA page_size").fetchone()[0]
    (first,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'losses'").fetchone()
    with (runs.root / "dlcore.db").open("r+b") as file:
        file.seek((first - 1) * page)
        file.write(b"\xa5" * page)
    db.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreError, match=r"is damaged .* a new one has begun in dlcore-2\.db beside it"):
        runs.open(one.number)
    grow(one, 1)
    runs.save(one, [checkpoint(51)])
    found = runs.open(one.number)
    assert content(found.history) == content(one.history)
    assert (found.name, found.status, found.history.changes) == ("a", "training", made)
    assert runs.create(record()) == one.number + 1
    assert "dlcore-2.db" in runs.problem


def test_another_process_follows_into_the_new_database(runs):
    number = entered(runs, record("a", status="finished"))
    with contextlib.closing(Store(runs.root)) as other:
        other.hold(number)
        assert len(other.rows()) == 1
        runs._begin_anew("a test")
        assert other.rows() == []
        other.save(other_run := record("a", history=history(2), status="training"))
        other_run.number = number
        other.save(other_run)
        assert content(runs.open(number).history) == content(other_run.history)
        assert "dlcore-2.db" in other.problem
        assert sorted(file.name for file in runs.root.glob("*.db")) == ["dlcore-2.db", "dlcore.db"]


# Folders and databases that another one takes the place of, while they are in use


@pytest.fixture
def held(runs):
    """A run that is under way here, with another one that is over before it in the list."""
    entered(runs, record("over", history=history(2), status="finished"))
    one = record("live", history=history(3), status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one, [checkpoint(2), checkpoint(3)])
    return one


def remove_folder(runs):
    shutil.rmtree(runs.root)


def remove_database(runs):
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()


def remove_database_alone(runs):
    """What SQLite keeps beside it stays."""
    (runs.root / "dlcore.db").unlink()


def make_folder_anew(runs):
    shutil.rmtree(runs.root)
    runs.root.mkdir()


def remove_runs_folder(runs):
    shutil.rmtree(runs.root / "2")


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


@pytest.mark.parametrize("grown", [0, 2])
@pytest.mark.parametrize(
    "remove",
    [remove_folder, remove_database, remove_database_alone, make_folder_anew, remove_runs_folder, cut_to_nothing],
)
def test_a_run_under_way_is_entered_again_whole_when_what_it_was_kept_in_is_gone(runs, held, remove, grown):
    remove(runs)
    grow(held, grown)
    runs.save(held)
    as_it_should_be(runs.root, held)
    assert content(runs.open(held.number).history) == content(held.history)
    if remove is not remove_runs_folder:
        assert ("run 2" in runs.problem) == (remove is not cut_to_nothing)
        assert ("was removed while it was in use" in runs.problem) == (remove is not cut_to_nothing)
        assert runs.numbers() == [2]
    grow(held, 1)
    runs.save(held, [checkpoint(6)])
    assert content(runs.open(held.number).history) == content(held.history)
    assert runs.open(held.number).rewinds == (remove is remove_runs_folder)  # entered again once, and then as ever
    assert runs.create(record()) == 3
    assert {"lock", "run.json", "epoch-6.pt"} <= {file.name for file in (runs.root / "2").iterdir()}


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


def restore_folder_with_what_was_there_aside(runs, backup):
    runs.root.rename(runs.root.with_name("aside"))
    backup.rename(runs.root)


def restore_database(runs, backup):
    """What SQLite keeps beside the one before stays, and is no part of this one."""
    (backup / "dlcore.db").replace(runs.root / "dlcore.db")


@pytest.mark.parametrize("grown", [0, 2])
@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.parametrize("restore", [restore_folder, restore_folder_with_what_was_there_aside, restore_database])
def test_a_run_under_way_is_brought_up_to_date_in_a_backup_that_is_restored(runs, held, restore, epochs, grown):
    backup = backed_up(runs, held, epochs)
    before = runs.open(held.number)
    restore(runs, backup)
    grow(held, grown)
    runs.save(held)
    as_it_should_be(runs.root, held)
    assert content(runs.open(held.number, before).history) == content(held.history)
    assert [row["name"] for row in runs.rows()] == ["live", "over"]
    assert runs.open(held.number).note == "as it was"
    assert "was replaced while it was in use" in runs.problem
    assert "(run 2)" in runs.problem
    grow(held, 1)
    runs.save(held)
    assert content(runs.open(held.number).history) == content(held.history)


@pytest.mark.parametrize("others", [0, 300], ids=["a backup of this list", "another list"])
def test_what_is_restored_is_left_as_it_is_after_a_restart_too(runs, others):
    """At a restart there is nothing beside the database; what is written from then on is beside it, and stays."""
    backup = runs.root.with_name("backup")
    with contextlib.closing(Store(backup)) as other:
        for count in range(others):
            other.create(record(f"other {count}", status="finished"))
    entered(runs, record("before", status="finished"))
    runs.close()
    if not others:
        shutil.copy(runs.root / "dlcore.db", backup / "dlcore.db")
    with contextlib.closing(Store(backup)) as other:
        expected = [row["name"] for row in other.rows()]
    with contextlib.closing(Store(runs.root)) as again:
        entered(again, *(record(f"after {count}", status="finished") for count in range(5)))
        restore_database(again, backup)
        assert [row["name"] for row in again.rows()] == expected
        again.create(record("new"))
    with contextlib.closing(Store(runs.root)) as later:
        assert [row["name"] for row in later.rows()] == ["new", *expected]
        assert later.problem == ""
        assert later._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_backup_of_another_course_of_a_run_is_overwritten(runs, held):
    """The run went back since, and then on by another way."""
    backup = backed_up(runs, held, 3, other_course=True)
    restore_folder(runs, backup)
    before = runs.open(held.number)
    assert content(before.history) != content(held.history)
    runs.save(held)
    assert content(runs.open(held.number, before).history) == content(held.history)


def test_readers_see_what_is_there_now(runs, held):
    before = runs.open(held.number)
    with contextlib.closing(Store(runs.root)) as reader:
        assert len(reader.rows()) == 2
        restore_database(runs, backed_up(runs, held, 1))
        assert content(reader.open(held.number, before).history) == content(before.history.until(10))
        assert "was replaced" in reader.problem
        remove_folder(runs)
        assert reader.rows() == []
        assert "was removed" in reader.problem
        runs.save(held)
        assert [row["name"] for row in reader.rows()] == ["live"]


def test_many_threads_go_over_to_what_is_there_now(runs, held):
    errors, stop = [], threading.Event()

    def read():
        before = None
        try:
            while not stop.is_set():
                with contextlib.suppress(StoreError):  # there is no run 2 for a moment
                    before = runs.open(held.number, before)
                runs.rows()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            (backed_up(runs, held, 2) / "dlcore.db").replace(runs.root / "dlcore.db")
            grow(held, 1)
            runs.save(held)
            assert content(runs.open(held.number).history) == content(held.history)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert errors == []
    assert list(runs.root.glob("dlcore-*.db")) == []


def test_another_run_of_the_same_number_is_left_alone(runs, held):
    backup = runs.root.with_name("backup")
    with contextlib.closing(Store(backup)) as other:
        entered(other, record("a"), record("someone's", history=history(5)))
    restore_folder(runs, backup)
    for _ in range(2):
        with pytest.raises(StoreError, match="Run 2, which trains here, is another one than the run 2 in"):
            runs.save(held)
    assert (runs.open(2).name, len(runs.open(2).history.losses)) == ("someone's", 50)


def test_a_run_that_another_process_took_meanwhile_is_left_to_it(runs, held, holder):
    restore_folder(runs, backed_up(runs, held, 1))
    process = holder(held.number)
    for _ in range(2):
        with pytest.raises(StoreError, match="Run 2 is under way already, here or in another process"):
            runs.save(held)
    assert len(runs.open(held.number).history.losses) == 10
    process.kill()
    process.join()
    runs.save(held)
    as_it_should_be(runs.root, held)


@pytest.mark.parametrize("remove", [remove_folder, remove_database, remove_runs_folder])
def test_what_is_removed_while_it_is_written_is_written_again(runs, held, remove):
    original, removals = store._whole, [remove]

    def whole(db, begin, function):
        result = original(db, begin, function)
        if begin == "BEGIN IMMEDIATE" and removals:
            removals.pop()(runs)
        return result

    grow(held, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "_whole", whole)
        with contextlib.suppress(StoreError):  # which would be tried again
            runs.save(held)
    assert not removals
    runs.save(held)
    as_it_should_be(runs.root, held)


def test_a_new_run_that_falls_into_the_gap_is_in_the_new_database(runs, held):
    remove_folder(runs)
    number = runs.create(record("new"))
    assert number == held.number + 1  # the number of the one under way is taken
    runs.save(held)
    assert [row["name"] for row in runs.rows()] == ["new", "live"]


def test_a_new_database_that_cannot_be_made_is_told_and_tried_again(runs, held, monkeypatch):
    remove_folder(runs)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_connect", lambda file, how: sqlite3.connect("/proc/none/dlcore.db"))
        for call in (lambda: runs.save(held), runs.rows):
            with pytest.raises(StoreError, match="Runs cannot be kept in"):
                call()
    runs.save(held)
    as_it_should_be(runs.root, held)


def test_descriptors_are_given_back(runs, held):
    def count():
        gc.collect()
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    runs.save(held)
    before = count()
    for _ in range(5):
        remove_folder(runs)
        runs.save(held, [checkpoint(3)])
    after = count()
    assert after <= before
    runs.release(held.number)
    assert count() == after - 2  # its lock, and its last checkpoint
    runs.close()
    assert count() < after - 4


# Lists of runs that are lost


def test_a_list_that_was_cut_to_nothing_is_told_at_the_next_start(runs, held):
    runs.save(runs.open(1), [checkpoint(1)])
    runs.close()
    cut_to_nothing(runs)
    with contextlib.closing(Store(runs.root)) as found:
        assert found.rows() == []
        assert f"{runs.root / 'dlcore.db'} held no list of runs" in found.problem
        assert "folders of runs that are not in it (1, 2)" in found.problem
        assert found.create(record()) == 3
    with contextlib.closing(Store(runs.root)) as again:
        assert again.problem == ""


@pytest.mark.parametrize("finished", [True, False], ids=["the folder of another stays", "the only folder is its own"])
def test_an_import_is_told_of_while_there_are_folders_that_no_row_knows(runs, held, finished):
    if finished:
        runs.save(runs.open(1), [checkpoint(1)])
    remove_database(runs)
    assert runs.rows() == []
    runs.save(held)
    assert "what is under way here (run 2) is entered again." in runs.problem
    assert ("not in it (1). The Runs page offers" in runs.problem) == finished
    shutil.rmtree(runs.root / "1", ignore_errors=True)  # as by the rest of a removal that is on its way
    assert runs.problem.endswith("what is under way here (run 2) is entered again.")


def test_what_happened_is_told_until_it_is_dismissed(runs, held):
    remove_folder(runs)
    runs.save(held)
    first = runs.problem
    restore_database(runs, backed_up(runs, held, 1))
    runs.save(held)
    second = runs.problem
    assert "was removed" in first
    assert "was replaced" in second
    runs.dismiss(first)  # late: it had been followed by another
    assert runs.problem == second
    runs.dismiss(second)
    assert runs.problem == ""


@pytest.mark.parametrize("early", [True, False], ids=["nothing of it is left", "some of it is left"])
def test_what_was_in_a_file_that_is_gone_is_told_at_the_next_start(runs, held, early):
    if not early:
        runs._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        grow(held, 2)
        runs.save(held, [checkpoint(4), checkpoint(5)])
    left = runs.root.with_name("left")
    shutil.copytree(runs.root, left, ignore=shutil.ignore_patterns("dlcore.db-*"))  # as of a process that was killed
    with contextlib.closing(Store(left)) as found:
        assert len(found.rows()) == (0 if early else 2)
        told = "held no list of runs" if early else "for the checkpoints of run 2 are of later epochs than those in it"
        assert told in found.problem
        assert found.create(record()) == 3
    with contextlib.closing(Store(runs.root)) as whole:
        assert whole.problem == ""


def test_a_new_list_in_a_folder_of_other_things_is_nothing_to_tell(tmp_path):
    (tmp_path / "2024").mkdir()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "notes.txt").write_text("mine")
    with contextlib.closing(Store(tmp_path)) as runs:
        assert (runs.problem, runs.unlisted()) == ("", [])
        assert runs.create(record()) == 2025


@pytest.mark.parametrize("known", [True, False], ids=["a list that is there", "a new list"])
def test_files_that_have_the_names_of_runs_are_nothing_to_tell(tmp_path, known):
    if known:
        Store(tmp_path).close()
    (tmp_path / "7").write_text("mine")
    (tmp_path / "8").symlink_to("8")
    with contextlib.closing(Store(tmp_path)) as runs:
        assert (runs.problem, runs.unlisted(), runs.checkpoints(7)) == ("", [], [])
        assert runs.create(record()) == 9
    assert (tmp_path / "7").read_text() == "mine"


# Disks that cannot be written


@pytest.mark.parametrize("root", ["/dev/null/runs", "/proc/runs"])
def test_a_place_where_nothing_can_be_kept_is_told(root):
    with pytest.raises(StoreError, match=rf"Runs cannot be kept in {root}: .*; let DLCORE_RUNS name a folder"):
        Store(Path(root))


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "runs").write_text("notes")
    with pytest.raises(StoreError, match="Runs cannot be kept in"):
        Store(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "notes"


def look_as_nobody(root, results):
    os.setgid(65534)
    os.setuid(65534)
    try:
        found, refused = Store(root), ""
        try:
            found.describe(1, note="mine")
        except StoreError as error:
            refused = str(error)
        run = found.open(1)
        results.put([found.writable, found.problem, refused, run.history.losses.tobytes(), run.status, found.rows()])
    except BaseException as error:
        results.put([repr(error)])


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become someone else")
@pytest.mark.parametrize("live", [True, False], ids=["while it is written", "at rest"])
def test_a_store_of_someone_else_can_be_looked_at(request, live, forked):
    folder = tempfile.TemporaryDirectory()  # pytest's own may be entered by nobody else
    request.addfinalizer(folder.cleanup)
    Path(folder.name).chmod(0o755)
    runs = Store(Path(folder.name) / "runs")
    request.addfinalizer(runs.close)
    number = entered(runs, record("a", history=history(3), status="training"))
    if live:
        runs.hold(number)
    else:
        runs.close()
    results = forked.Queue()
    process = forked.Process(target=look_as_nobody, args=(runs.root, results))
    process.start()
    got = results.get(timeout=60)
    assert len(got) == 6, got
    writable, problem, refused, losses, status, rows = got
    process.join()
    assert not writable
    assert problem == refused
    assert f"Runs cannot be kept in {runs.root}" in problem
    assert "can be looked at" in problem
    assert [one["name"] for one in rows] == ["a"]
    assert losses == history(3).losses.tobytes()
    assert (number, status) == (1, "training" if live else "interrupted")


def test_a_disk_that_cannot_be_written_is_looked_at(runs, monkeypatch):
    number = entered(runs, record("a", history=history(3), status="finished"))
    runs.close()
    connect = store._connect

    def refuse(file, how):
        if how == "mode=rwc":
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return connect(file, how)

    monkeypatch.setattr(store, "_connect", refuse)
    with contextlib.closing(Store(runs.root)) as found:
        assert not found.writable
        assert content(found.open(number).history) == content(history(3))
        for attempt in (
            lambda: found.create(record()),
            lambda: found.delete(number),
            lambda: found.rewind(number, 0, (0, 0)),
            lambda: found.set_setting("a", 1),
            lambda: found.describe(number, name="b"),
        ):
            with pytest.raises(StoreError, match=r"attempt to write a readonly database.*can be looked at"):
                attempt()
        assert found.rows()[0]["name"] == "a"


def test_a_full_disk_is_told_with_what_to_do(runs, monkeypatch):
    number = entered(runs, record(history=history(1)))
    runs._connection.execute("PRAGMA max_page_count = 1")  # SQLite's own "database or disk is full"
    grow(big := runs.open(number), 1, per_epoch=50_000)
    with pytest.raises(StoreError, match=r"Runs cannot be kept in .*full; make room there"):
        runs.save(big)
    runs._connection.execute("PRAGMA max_page_count = 1000000")
    assert content(runs.open(number).history) == content(history(1))  # nothing of it, rather than half
    runs.save(big)
    assert content(runs.open(number).history) == content(big.history)

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", no_room)
    with pytest.raises(StoreError, match="No space left on device; make room there"):
        runs.save(big, [checkpoint(1)])


# Many at once


def watch(root, number, stop, results):
    """Another process that reads as fast as it can."""
    try:
        found = Store(Path(root))
        before, seen = None, 0
        while not stop.is_set():
            before = found.open(number, before)
            whole = before.history.losses
            assert len(whole) >= seen
            assert (whole == np.arange(len(whole), dtype=np.float32)).all()
            assert found.rows()[0]["name"] == "a"
            seen = len(whole)
        results.put(seen)
    except BaseException as error:
        results.put(repr(error))


def test_any_number_of_readers_while_one_writes(runs, forked):
    one = record("a", status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    stop, results = forked.Event(), forked.Queue()
    processes = [forked.Process(target=watch, args=(str(runs.root), one.number, stop, results)) for _ in range(2)]
    for process in processes:
        process.start()
    errors, quiet = [], threading.Event()

    def read():
        try:
            before = None
            while not quiet.is_set():
                before = runs.open(one.number, before)
                assert len(runs.rows()) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(150):
            for _ in range(20):
                one.history.add_step(torch.tensor(float(one.history.steps)))
            runs.save(one)
        wait_until(lambda: all(process.is_alive() or process.exitcode is not None for process in processes))
        for _ in range(50):
            one.history.add_step(torch.tensor(float(one.history.steps)))
            runs.save(one)
    finally:
        quiet.set()
        stop.set()
        for thread in threads:
            thread.join(30)
        found = [results.get(timeout=60) for _ in processes]
        for process in processes:
            process.join(30)
    assert errors == []
    assert all(isinstance(seen, int) for seen in found), found
    assert len(runs.open(one.number).history.losses) == 3050


def make(root, go, results):
    try:
        go.wait()
        found = Store(Path(root))
        results.put([found.create(record(str(os.getpid()))) for _ in range(5)])
    except BaseException as error:
        results.put(repr(error))


def test_several_processes_make_a_store_at_once(tmp_path, forked):
    go, results = forked.Event(), forked.Queue()
    processes = [forked.Process(target=make, args=(str(tmp_path / "runs"), go, results)) for _ in range(4)]
    for process in processes:
        process.start()
    go.set()
    found = [results.get(timeout=100) for _ in processes]
    for process in processes:
        process.join(30)
    assert all(isinstance(numbers, list) for numbers in found), found
    assert sorted(number for numbers in found for number in numbers) == list(range(1, 21))


def test_who_waits_too_long_for_another_process_is_told(runs, monkeypatch):
    number = entered(runs, record(history=history(1)))
    runs._connection.execute("PRAGMA busy_timeout = 50")
    blocker = sqlite3.connect(runs.root / "dlcore.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        assert runs.open(number).name == "moons"  # reading waits for nobody
        told = r"^Another program holds the list of runs in .*dlcore\.db \(database is locked\); this goes on as"
        with pytest.raises(StoreError, match=told):
            runs.describe(number, note="x")
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    runs.describe(number, note="y")
    assert runs.open(number).note == "y"


def test_who_reads_does_not_wait_for_one_who_waits_to_write(runs):
    number = entered(runs, record(history=history(1)))
    blocker = sqlite3.connect(runs.root / "dlcore.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=runs.describe, args=[number], kwargs={"note": "x"})
    writer.start()
    try:
        wait_until(lambda: not runs._lock.acquire(blocking=False) or runs._lock.release(), every=0.001)
        assert runs.rows()[0]["note"] == runs.open(number).note == ""
        assert runs.numbers() == [number]
        assert runs.setting("at_once", 2) == 2
        assert writer.is_alive()  # and waits still
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
        writer.join(30)
    assert runs.open(number).note == "x"


def test_what_is_written_is_read_at_once(runs):
    number = entered(runs, record())
    for count in range(50):
        runs.describe(number, note=str(count))
        assert runs.open(number).note == str(count)


def test_a_run_that_cannot_begin_leaves_nothing_behind(runs):
    number = entered(runs, record(history=history(2)))
    runs.hold(number)
    runs.remove(number)
    assert runs.rows() == runs.rows(deleted=True) == []
    assert not (runs.root / str(number)).exists()
    assert runs.create(record()) == number + 1


def test_the_folder_of_a_run_may_be_gone(runs):
    number = entered(runs, record(history=history(2), status="training"))
    shutil.rmtree(runs.root / str(number))
    assert runs.rows()[0]["status"] == runs.open(number).status == "interrupted"
    assert runs.checkpoints(number) == runs.epochs_kept(number) == []
    assert runs.latest(runs.open(number)) == (None, [])
    with pytest.raises(StoreError, match="has no checkpoint of epoch 1; it has those of epochs: none"):
        runs.checkpoint(number, 1)
    with pytest.raises(CheckpointError):
        checkpoints.read(runs.root / str(number) / "epoch-1.pt")


def test_epochs_go_to_the_database_and_back_field_by_field(runs):
    one = record(history=History(np.zeros(5), [row(1)]))
    entered(runs, one)
    (kept,) = runs._connection.execute("SELECT * FROM epochs").fetchall()
    assert {name: kept[name] for name in kept.keys() if name != "run"} == asdict(row(1))  # noqa: SIM118


# Folders that the list of runs does not know


def lost(runs):
    """The list of runs is lost; the folders are all that is left."""
    runs.close()
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()
    return Store(runs.root)


@pytest.fixture
def foundling(runs, monkeypatch):
    """A run whose folder alone is left, of five epochs, and what it was."""
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    made = [Change(3, "pace", 5.0), Change(25, "optimizer.lr", 0.5), Change(47, "epochs", 9)]
    known = {"recipe": changed(MOONS, epochs=7), "created": 1234567890.5, "steps_per_epoch": 10, "status": "training"}
    one = record("Ünïcödé 😀", history=history(5, changes=made), branch=Branch(1, 2, 20), **known)
    entered(runs, record("parent", status="finished"))
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one, [checkpoint(2), checkpoint(4), checkpoint(5), checkpoint(5, 3)])
    found = lost(runs)
    yield found, one
    found.close()


def test_a_folder_alone_is_entered_again(foundling):
    runs, one = foundling
    assert runs.rows() == []
    assert runs.unlisted() == [(2, one.name, 5, "")]
    assert runs.take_in(2) == []
    assert runs.unlisted() == []
    found = runs.open(2)
    for name in ("number", "name", "first_recipe", "created", "branch", "steps_per_epoch", "offset"):
        assert getattr(found, name) == getattr(one, name), name
    assert found.epoch == 6
    lost = Change(53, "lost", None)
    assert found.history.changes == sorted([*one.history.changes, lost], key=lambda made: (made.step, made.setting))
    assert found.history.best is None
    assert found.recipe.optimizer.lr == 0.5
    assert found.recipe.epochs == 9
    assert (found.status, found.history.steps) == ("interrupted", 53)
    assert np.isnan(found.history.losses).all()
    assert [(row.epoch, row.step) for row in found.history.epochs] == [(number, number * 10) for number in range(1, 6)]
    assert all(math.isnan(row.val_loss) and row.val_accuracy is None for row in found.history.epochs)
    assert found.note == "Imported from its folder. What it measured up to step 53 (epoch 5) is lost."
    assert found.size == sum(file.stat().st_size for file in (runs.root / "2").glob("*.pt"))
    assert [kept[:2] for kept in runs.checkpoints(2)] == [(5, 3), (5, 0), (4, 0), (2, 0)]
    assert runs.latest(found)[0].step == 53
    with pytest.raises(StoreError, match=r"Run 2 cannot be imported: .* has no such folder"):
        runs.take_in(2)
    assert runs.create(record()) == 3


@pytest.mark.parametrize(("epochs", "status"), [(5, "finished"), (6, "interrupted")])
def test_a_run_that_had_done_all_its_epochs_is_finished_when_its_folder_is_entered(foundling, epochs, status):
    runs, _ = foundling
    runs.checkpoints(2)[0].file.unlink()  # of a step into the epoch after
    about = json.loads((runs.root / "2" / "run.json").read_text())
    changes = [change for change in about["changes"] if change[1] != "epochs"]
    about |= {"changes": changes, "recipe": about["recipe"] | {"epochs": epochs}}
    (runs.root / "2" / "run.json").write_text(json.dumps(about))
    assert runs.take_in(2) == []
    assert runs.open(2).status == status


DESCRIBED = {"name": "renamed 😀", "note": "My own words.", "tags": ("a", "b")}


def description(runs, number):
    found = runs.open(number)
    return {"name": found.name, "note": found.note, "tags": found.tags}


@pytest.mark.parametrize("when", ["under way", "over", "under way in another process"])
def test_a_folder_tells_what_a_person_has_called_the_run(runs, held, when):
    others = contextlib.closing(Store(runs.root)) if when == "under way in another process" else None
    with others or contextlib.nullcontext(runs) as other:
        if when == "over":
            runs.release(held.number)
        other.describe(held.number, **DESCRIBED)
    grow(held, 1)
    held.history.change({"pace": 5.0})
    if when != "over":
        runs.save(held)
    runs.release(held.number)
    found = folders.read(runs.root / str(held.number))
    assert {"name": found.name, "note": found.note, "tags": found.tags} == DESCRIBED
    assert (found.created, found.first_recipe) == (held.created, held.first_recipe)
    assert found.history.changes == ([] if when == "over" else held.history.changes)
    runs.describe(held.number, note="")
    found = folders.read(runs.root / str(held.number))
    assert (found.name, found.note, found.tags) == (DESCRIBED["name"], "", DESCRIBED["tags"])


def test_a_run_without_a_folder_is_given_none_by_its_note(runs):
    number = runs.create(record())
    runs.describe(number, **DESCRIBED)
    assert description(runs, number) == DESCRIBED
    assert not (runs.root / str(number)).exists()


@pytest.mark.parametrize("remove", [remove_database, cut_to_nothing])
def test_a_run_under_way_is_entered_again_with_what_a_person_has_called_it(runs, held, remove):
    runs.describe(held.number, **DESCRIBED)
    remove(runs)
    runs.save(held)
    assert description(runs, held.number) == DESCRIBED
    assert content(runs.open(held.number).history) == content(held.history)


def test_the_words_in_the_folder_of_another_run_are_not_taken(runs, held):
    runs.describe(held.number, **DESCRIBED)
    file = runs.root / str(held.number) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"created": 5.0}))
    remove_database(runs)
    runs.save(held)
    assert description(runs, held.number) == {"name": "live", "note": "", "tags": ()}


def test_a_folder_is_entered_with_what_a_person_has_called_the_run(runs, held):
    told = "Imported from its folder. What it measured up to step 30 (epoch 3) is lost."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
        runs.describe(held.number, **DESCRIBED)
        for _ in range(2):  # the words on the import are not repeated
            runs = lost(runs)
            runs.take_in(held.number)
            assert description(runs, held.number) == DESCRIBED | {"note": f"{told}\n\nMy own words."}
            runs.describe(held.number, tags=DESCRIBED["tags"])
        runs.describe(held.number, note="x" * 10_000)
        runs = lost(runs)
        runs.take_in(held.number)
        assert runs.open(held.number).note == "x" * 10_000
    runs.close()


def test_what_is_damaged_is_passed_over_when_a_folder_is_entered(foundling):
    runs, _ = foundling
    for kept in runs.checkpoints(2)[:2]:
        kept.file.write_bytes(b"")
    (told, other) = runs.take_in(2)
    assert told.startswith("The checkpoint epoch-5+3.pt of run 2 was passed over: it is damaged")
    assert "epoch-5.pt" in other
    found = runs.open(2)
    assert (found.history.steps, len(found.history.epochs)) == (40, 4)
    for kept in runs.checkpoints(2):
        kept.file.write_bytes(b"")
    with contextlib.closing(lost(runs)) as again:
        with pytest.raises(StoreError, match=r"Run 2 cannot be imported: no checkpoint can be used.*epoch-2\.pt"):
            again.take_in(2)
        assert again.rows() == []


@pytest.mark.parametrize("number", [0, 1, 7, 10**20])
def test_what_is_no_such_folder_is_told(foundling, number):
    runs, _ = foundling
    (runs.root / "7").mkdir()
    with pytest.raises(StoreError, match=f"Run {number} cannot be imported"):
        runs.take_in(number)
    assert runs.rows() == []


def test_a_folder_without_its_recipe_can_be_entered_with_one(foundling):
    runs, _ = foundling
    (runs.root / "2" / "run.json").unlink()
    ((number, name, epoch, problem),) = runs.unlisted()
    assert (number, name, epoch) == (2, "", 5)
    assert "it has no run.json" in problem
    with pytest.raises(
        StoreError, match=r"has no run\.json.*name the recipe, as in `python -m dlcore import 2 --recipe"
    ):
        runs.take_in(2)
    runs.take_in(2, MOONS)
    found = runs.open(2)
    assert (found.name, found.first_recipe, found.branch, found.history.steps) == ("run 2", MOONS, None, 53)
    assert [row.step for row in found.history.epochs] == [10, 20, 30, 40, 50]


def test_a_folder_of_a_run_under_way_is_left_to_its_holder(runs, held, holder):
    runs.release(held.number)
    process = holder(held.number)
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()
    with contextlib.closing(Store(runs.root)) as other:
        assert other.unlisted() == []
        process.kill()
        process.join()
        assert [one.number for one in other.unlisted()] == [2]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 10**7},
        {"step": 10**12},
        {"epochs": 1},  # before it left its parent
        {"place": 40},
    ],
)
def test_a_forged_checkpoint_is_passed_over_when_a_folder_is_entered(foundling, change):
    runs, _ = foundling
    latest = runs.checkpoints(2)[0].file
    torch.save(vars(checkpoints.read(latest)) | change, latest)
    (told,) = runs.take_in(2)
    assert told == "The checkpoint epoch-5+3.pt of run 2 was passed over: it is not of this run."
    assert runs.open(2).history.steps == 50


def test_clocks_that_cannot_be_kept_are_passed_over_when_a_folder_is_entered(foundling):
    runs, _ = foundling
    for kept in runs.checkpoints(2)[:2]:
        torch.save(vars(checkpoints.read(kept.file)) | {"elapsed": 10**30}, kept.file)
    told = runs.take_in(2)
    assert [text.endswith("was passed over: it is not a checkpoint of dlcore.") for text in told] == [True, True]
    assert runs.open(2).history.steps == 40


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes on Windows")
def test_what_is_no_file_in_a_folder_is_not_waited_for(foundling):
    runs, _ = foundling
    os.mkfifo(runs.root / "2" / "epoch-9.pt")
    (runs.root / "2" / "run.json").unlink()
    os.mkfifo(runs.root / "2" / "run.json")
    ((number, name, epoch, problem),) = runs.unlisted()
    assert (number, name, epoch, problem) == (2, "", 5, "its run.json cannot be read (it is no file)")
    assert runs.take_in(2, MOONS) == []
    assert runs.open(2).history.steps == 53


def test_a_recipe_that_runs_nowhere_is_told_when_a_folder_is_entered(foundling):
    runs, _ = foundling
    file = runs.root / "2" / "run.json"
    told = json.loads(file.read_text())
    told["recipe"]["model"] = {"kind": "lenet"}
    file.write_text(json.dumps(told))
    with pytest.raises(StoreError, match=r"Run 2 cannot be imported by itself: .*model is lenet, which needs pictures"):
        runs.take_in(2)
    assert runs.rows() == []
