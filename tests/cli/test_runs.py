import csv
import io
import json
import re

import numpy as np
import pytest

from dlcore.recipe import Recipe
from tests.cli.calling import DIVERGING, LISTED, MOONS, parsed, refused
from tests.runs.storing import entered, history, record

# Listing, showing


def test_runs_are_listed_newest_first_one_object_a_line(tell, runs):
    (first, *_), (second, *_) = (tell("train", *MOONS, "--set", f"epochs={count}", "--name", "a") for count in (2, 3))
    found = tell("runs")
    assert [row["id"] for row in found] == [second["id"], first["id"]] == ["2", "1"]
    assert [row["epoch"] for row in found] == [row["epochs"] for row in found] == [3, 2]
    for row in found:
        assert row.keys() == LISTED
        assert (row["name"], row["status"], row["step"]) == ("a", "finished", 4 * row["epoch"])
        assert 0 <= row["val_accuracy"] <= 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", row["created"])
        assert (row["data"], row["model"], row["optimizer"], row["lr"]) == ("moons", "mlp", "adam", 0.01)
        assert row["size"] == sum(file.stat().st_size for file in (runs.root / row["id"]).glob("**/*.pt")) > 0


def test_a_person_gets_a_table_of_runs(run, tell, runs):
    assert run("runs") == (0, "No runs yet: `python -m dlcore train two-moons` makes one.\n", "")
    tell("train", *MOONS, "--set", "epochs=2", "--name", "My first")
    entered(runs, record("Ünïcödé 😀", history=history(1), status="training"))
    status, out, err = run("runs")
    lines = out.splitlines()
    assert (status, err, len(lines)) == (0, "", 3)
    assert lines[0].split() == ["id", "status", "epoch", "val", "acc", "val", "loss", "begun", "name"]
    assert lines[1].split()[:5] == ["2", "interrupted", "1", "of", "3"]
    assert lines[1].endswith("Ünïcödé 😀")
    assert lines[2].split()[:5] == ["1", "finished", "2", "of", "2"]
    assert lines[2].endswith("  My first")


def test_show_tells_all_about_a_run(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2", "--name", "shown")
    tell("resume", "1", "--set", "epochs=3", "--set", "optimizer.lr=0.5")
    runs.describe(1, note="A note.\nWith lines.", tags=["a", "b"])
    (found,) = tell("show", "1")
    assert found.keys() == LISTED | {"failure", "changes", "epochs_kept", "environment", "recipe", "history"}
    assert found["changes"] == [
        {"step": 8, "setting": "epochs", "value": 3},
        {"step": 8, "setting": "optimizer.lr", "value": 0.5},
    ]
    assert (found["recipe"]["epochs"], found["recipe"]["optimizer"]["lr"]) == (3, 0.5)
    assert Recipe.model_validate_json(json.dumps(found["recipe"])).epochs == 3
    assert (found["epochs_kept"], found["failure"]) == ([1, 2, 3], None)
    assert [row["epoch"] for row in found["history"]] == [1, 2, 3]
    assert found["environment"]["torch"]
    status, out, err = run("show", "1")
    assert (status, err) == (0, "")
    for words in (
        *("run 1: shown\nfinished\n", "A note.\nWith lines.\na, b\n", "after step 8: optimizer.lr = 0.5\n"),
        "checkpoints after epochs: 1, 2, 3\n",
    ):
        assert words in out


def test_show_tells_why_a_run_failed_and_where_a_branch_came_from(run, tell, runs):
    tell("train", "simplenet", *DIVERGING, status=1)
    assert "The loss stopped being a finite number" in run("show", "1")[1]
    (found,) = tell("show", "1")
    assert found["failure"].startswith("The loss stopped being a finite number")
    tell("train", *MOONS, "--set", "epochs=2")
    tell("branch", "2", "--at", "1", "--name", "side")
    assert "branch of run 2 after epoch 1\n" in run("show", "3")[1]
    (found,) = tell("show", "3")
    assert (found["parent"], found["parent_epoch"]) == ("2", 1)


# Deleting, exporting


def test_a_deleted_run_is_out_of_the_list_until_it_is_restored(run, tell, runs):
    entered(runs, record("a", status="finished"), record("b", status="finished"))
    status, out, _ = run("delete", "1")
    assert (status, out) == (0, "Run 1 is deleted; for a day, `python -m dlcore restore 1` brings it back.\n")
    assert [row["id"] for row in tell("runs")] == ["2"]
    (found,) = tell("show", "1")
    assert found["name"] == "a"
    assert refused(run, "delete", "1") == "Run 1 is deleted already."
    assert refused(run, "resume", "1") == "Run 1 is deleted; bring it back first."
    assert run("restore", "1")[0] == 0
    assert [row["id"] for row in tell("runs")] == ["2", "1"]
    assert refused(run, "restore", "1") == "Run 1 is not deleted."


def test_epochs_are_exported_as_csv(run, runs, tmp_path):
    one = record("a", history=history(3), status="finished")
    entered(runs, one)
    file = tmp_path / "epochs.csv"
    assert run("export", "1", "--csv", str(file)) == (0, "", "")
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == one.history.rows()
    assert list(rows[0]) == [
        *("epoch", "step", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds"),
        "steps_per_second",
    ]
    status, out, _ = run("export", "1", "--csv", "-")
    assert (status, out) == (0, file.read_text())


def test_steps_are_exported_to_the_last_bit(run, runs):
    one = record("a", history=history(3), status="finished")
    entered(runs, one)
    _, out, _ = run("export", "1", "--each", "step", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [int(row["step"]) for row in rows] == list(range(1, 31))
    assert np.float32([row["loss"] for row in rows]).tobytes() == one.history.losses.tobytes()


def test_a_run_without_epochs_exports_a_head_alone(run, runs):
    entered(runs, record("a", status="finished"))
    assert run("export", "1", "--csv", "-")[1].count("\n") == 1
    assert run("export", "1", "--csv", "-", "--each", "step")[1] == "step,loss\n"


# Importing


def without_list(runs):
    """The list of runs is lost; the folders are all that is left."""
    runs.close()
    for file in runs.root.glob("dlcore.db*"):
        file.unlink()


def test_folders_that_the_list_does_not_know_are_told_imported_and_go_on(run, tell, runs):
    dropout = [*MOONS, "--set", "model.dropout=0.2"]
    assert run("train", *dropout, "--set", "epochs=3", "--name", "mine")[0] == 0
    _, *_, whole = tell("train", *dropout, "--set", "epochs=5")
    (runs.root / "2" / "run.json").unlink()
    without_list(runs)
    status, out, err = run("runs")
    assert (status, out.startswith("No runs yet")) == (0, True)
    lost, first, second = err.splitlines()
    assert "held no list of runs" in lost
    assert "not in it (1, 2)" in lost
    assert first == "Run 1 (mine) has a folder but is not in the list of runs; `python -m dlcore import 1` enters it."
    assert second.startswith(
        "Run 2 has a folder but is not in the list of runs; `python -m dlcore import 2 --recipe NAME`"
    )
    assert "it has no run.json" in second
    status, out, err = run("import", "1")
    assert (status, err) == (0, "")
    assert out.startswith("run 1: mine\nImported from its folder. What it measured up to step 12 (epoch 3) is lost.")
    assert "it has no run.json" in refused(run, "import", "2")
    assert "another network than this cnn" in refused(run, "import", "2", "--recipe", "mnist-cnn")
    status, out, err = run("runs", "--json")
    assert [(row["id"], row["status"], row["epoch"], row["val_loss"]) for row in parsed(out)] == [
        ("1", "finished", 3, None)
    ]
    assert len(err.splitlines()) == 1
    start, *epochs, end = tell("resume", "1", "--set", "epochs=5")
    assert (start["epoch"], [row["epoch"] for row in epochs]) == (3, [4, 5])
    same = ("steps", "train_loss", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "predictions")
    assert {name: end[name] for name in same} == {name: whole[name] for name in same}
    (shown,) = tell("show", "1")
    assert [row["step"] for row in shown["history"]] == [4, 8, 12, 16, 20]
    assert [row["val_loss"] is None for row in shown["history"]] == [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    "arguments", [["1"], ["99"], ["../1"], ["1", "--recipe", "nothing"], ["1", "--recipe", "no.json"]]
)
def test_what_cannot_be_imported_is_a_sentence(run, runs, arguments):
    entered(runs, record("a", status="finished"))
    assert refused(run, "import", *arguments)
