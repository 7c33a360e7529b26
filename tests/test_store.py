import contextlib
import importlib.metadata
import math
import multiprocessing
import os
import shutil
import sqlite3
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore import checkpoints, store
from dlcore.checkpoints import Checkpoint, CheckpointError
from dlcore.history import Change, Epoch, History
from dlcore.records import Branch, Failure, Stored
from dlcore.store import GRACE, SCHEMA, Store, StoreError
from pages.parts.charts import loss_figure
from tests.running import MOONS, changed
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
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
    """Processes that have this module already: importing torch takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


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
    assert sorted(path.name for path in folder.iterdir()) == ["epoch-1.pt", "epoch-2+3.pt", "epoch-2.pt", "lock"]


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


def test_a_day_later_it_is_gone_for_good_and_its_number_is_not_given_again(runs, monkeypatch):
    entered(runs, *[record(name, history=history(1), status="finished") for name in ("a", "b", "c")])
    for number in (2, 3):
        runs.save(runs.open(number), [checkpoint(1)])
        runs.delete(number)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + GRACE - 60)
    runs.purge()
    assert len(runs.rows(deleted=True)) == 2
    runs.bring_back(2)
    monkeypatch.setattr(time, "time", lambda: now + GRACE + 60)
    with contextlib.closing(Store(runs.root)) as later:  # as at the next start
        assert later.rows(deleted=True) == []
        assert later.numbers() == [1, 2]
        assert not (runs.root / "3").exists()
        assert (runs.root / "2" / "epoch-1.pt").exists()
        for table in ("losses", "epochs", "changes"):
            left = later._connection.execute(f"SELECT count(*) FROM {table} WHERE run = 3").fetchone()[0]
            assert left == 0, table
        assert later.create(record()) == 4


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
def test_a_store_of_someone_else_can_be_looked_at(runs, live, forked):
    number = entered(runs, record("a", history=history(3), status="training"))
    if live:
        runs.hold(number)
    else:
        runs.close()
    for folder in (runs.root, *runs.root.parents):
        if str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    results = forked.Queue()
    process = forked.Process(target=look_as_nobody, args=(runs.root, results))
    process.start()
    writable, problem, refused, losses, status, rows = results.get(timeout=60)
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
        with pytest.raises(StoreError, match="database is locked"):
            runs.describe(number, note="x")
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
    runs.describe(number, note="y")
    assert runs.open(number).note == "y"


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
