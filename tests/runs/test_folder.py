import contextlib
import math
import shutil
import threading
from dataclasses import replace

import pytest
import torch

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.optimizers import Adam
from dlcore.runs import checkpoints
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.records import Branch
from dlcore.runs.store import Store, StoreError
from tests.running import MOONS
from tests.runs.storing import checkpoint, entered, history, record


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
    model = skeleton(MOONS.model, MOONS.inputs, MOONS.outputs).to_empty(device="cpu")
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
        other.database._connection.execute("PRAGMA busy_timeout = 0")
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
