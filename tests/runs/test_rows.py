import contextlib
import importlib.metadata
import math
import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from dlcore.history import Change, History
from dlcore.runs import rows
from dlcore.runs.records import Branch, Failure
from dlcore.runs.store import Store, StoreError
from pages.parts.charts import loss_figure
from tests.running import MOONS, changed
from tests.runs.storing import checkpoint, content, entered, grow, history, record, row

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


# Saving again and again


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
    original, done = rows.read_on, threading.Event()

    def slowly(*arguments):
        with contextlib.closing(Store(runs.root)) as other:  # as another process would, just then
            other.rewind(number, 5, (0, 5))
        done.set()
        return original(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "read_on", slowly)
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


# Formats


def test_a_run_of_a_newer_format_is_refused_and_hinders_no_other(runs):
    one, two = record("new", status="finished"), record("old", status="finished")
    entered(runs, one, two)
    query = "UPDATE runs SET format = 2, recipe = ? WHERE number = ?"
    runs.database._connection.execute(query, ['{"an": "idea"}', one.number])
    with pytest.raises(StoreError, match=f"Run {one.number} has format 2.*reads up to 1: update dlcore"):
        runs.open(one.number)
    assert [found["name"] for found in runs.rows()] == ["old", "new"]
    assert runs.open(two.number).name == "old"


@pytest.mark.parametrize("recipe", ["", "[]", '{"model": {"kind": "transformer"}}', '{"epochs": 0}'])
def test_a_recipe_that_cannot_be_read_is_a_sentence(runs, recipe):
    number = entered(runs, record(status="finished"))
    runs.database._connection.execute("UPDATE runs SET recipe = ? WHERE number = ?", [recipe, number])
    with pytest.raises(StoreError, match=f"Run {number} cannot be read: "):
        runs.open(number)


def test_changes_of_settings_that_there_are_not_are_a_sentence(runs):
    number = entered(runs, record(history=history(1), status="finished"))
    runs.database._connection.execute("INSERT INTO changes VALUES (?, 3, 'optimizer.charm', '1')", [number])
    with pytest.raises(StoreError, match=f"Run {number} cannot be read: optimizer.charm"):
        runs.open(number)


# Field by field


def test_epochs_go_to_the_database_and_back_field_by_field(runs):
    one = record(history=History(np.zeros(5), [row(1)]))
    entered(runs, one)
    (kept,) = runs.database._connection.execute("SELECT * FROM epochs").fetchall()
    assert {name: kept[name] for name in kept.keys() if name != "run"} == asdict(row(1))  # noqa: SIM118
