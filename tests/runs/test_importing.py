import contextlib
import json
import math
import os

import numpy as np
import pytest
import torch

from dlcore.history import Change
from dlcore.runs import checkpoints
from dlcore.runs.records import Branch
from dlcore.runs.store import Store, StoreError
from tests.running import MOONS, changed
from tests.runs.storing import DESCRIBED, checkpoint, description, entered, history, lost, record


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


def test_a_run_of_a_device_that_this_machine_lacks_is_entered(runs, monkeypatch):
    monkeypatch.setattr(checkpoints, "check_weights", lambda checkpoint, recipe: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    one = record(recipe=changed(MOONS, device="cuda"), history=history(2), status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one, [checkpoint(2)])
    with contextlib.closing(lost(runs)) as found:
        assert found.take_in(one.number) == []
        assert found.open(one.number).first_recipe == one.first_recipe
        assert found.open(one.number).environment["device"] == "NVIDIA GPU (CUDA)"
