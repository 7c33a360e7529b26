import contextlib
import csv
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcore.__main__ import main
from dlcore.catalogue.datasets import Cifar10, Moons
from dlcore.engine.driver import Driver
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store, StoreError
from tests.kill_campaign import Process
from tests.running import LONG
from tests.runs.storing import checkpoint, entered, history, record
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
EPOCH = {"event", "epoch", "step", "train_loss", "val_loss", "lr", "seconds", "steps_per_second"}
END = EPOCH - {"step"} | {"id", "status", "steps", "test_loss", "predictions"}
ACCURACIES = {"train_accuracy", "val_accuracy"}
DIVERGING = ["--set", "loss=mse", "--set", "optimizer=sgd", "--set", "optimizer.lr=10"]


def refuse(token):
    raise ValueError(f"{token} is not JSON")


def parsed(text):
    """Every line of the output as an object; NaN and Infinity, which Python would take, are refused."""
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.fixture
def run(capsys):
    """Run the command line in this process: exit status, standard output and error."""

    def call(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as leave:  # argparse's own
            status = leave.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def train(run):
    """Train with --json in this process: the objects that were printed."""

    def call(*arguments, status=0):
        found, out, err = run("train", *arguments, "--json")
        assert found == status, err
        return parsed(out)

    return call


def process(*arguments, **named):
    command = [sys.executable, "-m", "dlcore", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, **named)


# Lists


def test_recipes_lists_each_with_what_it_shows(run):
    status, out, err = run("recipes")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(line.endswith(named.about) for line, named in zip(lines, RECIPES.values(), strict=True))


def test_settings_lists_every_setting_with_what_it_takes(run):
    status, out, err = run("settings")
    assert (status, err) == (0, "")
    for text in (
        "epochs: a whole number from 1 to 100000",
        "optimizer.kind=adam: ",
        "optimizer.lr: a number above 0 and at most 10",
        "model.activation.kind=tanh: ",
        "augmentation.shift: ",
        "precision: float32 or bfloat16",
    ):
        assert text in out


# What is printed


def test_json_gives_a_first_line_with_the_id_a_line_an_epoch_and_a_last_one_for_the_end(train):
    start, *epochs, end = train("two-moons", "--set", "epochs=4")
    assert start == {"event": "start", "id": end["id"], "name": "two-moons"}
    assert start["id"].isdecimal()
    assert [row["event"] for row in epochs] == ["epoch"] * 4
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4]
    assert all(set(row) == EPOCH | ACCURACIES for row in epochs)
    assert set(end) == END | ACCURACIES | {"test_accuracy"}
    assert (end["event"], end["status"], end["steps"]) == ("end", "finished", epochs[-1]["step"])
    assert all(end[name] == epochs[-1][name] for name in ("val_loss", "val_accuracy", "train_loss", "lr"))
    assert end["predictions"] == []


def test_regression_has_no_accuracy(train):
    _, *epochs, end = train("linear-regression", "--set", "epochs=3")
    assert all(set(row) == EPOCH for row in epochs)
    assert set(end) == END


def test_a_person_gets_a_table_of_few_rows_with_the_last_epoch_in_it(run):
    status, out, _ = run("train", "linear-regression", "--set", "epochs=90", "--predict", "5")
    lines = out.splitlines()
    assert status == 0
    assert re.fullmatch(r"run \d+: linear-regression", lines[0])
    assert lines[1].split() == ["epoch", "train", "loss", "val", "loss", "train", "acc", "val", "acc", "lr", "time"]
    rows = [line for line in lines[2:] if line.split() and line.split()[0].isdigit()]
    assert len(rows) <= 26
    assert rows[-1].split()[0] == "90"
    assert "finished after 90 steps" in out
    assert "prediction " in lines[-1]


# Settings


def test_settings_can_be_changed_by_number_word_list_and_kind(train, monkeypatch):
    seen = []
    problems = Recipe.problems
    monkeypatch.setattr(Recipe, "problems", lambda self: seen.append(self) or problems(self))
    changes = [
        *("epochs=2", "batch_size=all", "model.widths=[4, 3]", "model.activation.kind=leaky-relu"),
        *("model.activation.slope=0.2", "optimizer=sgd", "optimizer.lr=0.5", "optimizer.nesterov=true"),
        *("schedule.kind=step", "schedule.every=1", "data.noise=0.3", "precision=bfloat16"),
    ]
    *_, end = train("two-moons", *(word for change in changes for word in ("--set", change)))
    recipe = seen[-1]
    assert (recipe.epochs, recipe.batch_size, recipe.precision) == (2, "all", "bfloat16")
    assert recipe.model.widths == (4, 3)
    assert (recipe.model.activation.kind, recipe.model.activation.slope) == ("leaky-relu", 0.2)
    assert (recipe.optimizer.kind, recipe.optimizer.lr, recipe.optimizer.nesterov) == ("sgd", 0.5, True)
    assert (recipe.schedule.kind, recipe.data.noise) == ("step", 0.3)
    assert (end["steps"], end["lr"]) == (2, 0.25)


def test_the_last_of_repeated_changes_wins(train):
    _, *epochs, _ = train("linear-regression", "--set", "epochs=5", "--set", "epochs=2")
    assert len(epochs) == 2


def test_a_kind_takes_its_own_defaults_wherever_it_stands(train):
    *_, end = train("linear-regression", "--set", "optimizer.lr=0.02", "--set", "optimizer=adam", "--set", "epochs=1")
    assert end["lr"] == 0.02


# Predictions


def test_regression_predicts_a_value_for_each_input(train):
    *_, end = train("linear-regression", "--predict", "5", "0", "--predict=-1")
    slope_line = end["predictions"]
    assert len(slope_line) == 3
    assert slope_line[0] == pytest.approx(10, abs=0.2)
    # A line: three answers on one straight line.
    assert slope_line[0] - slope_line[1] == pytest.approx(5 * (slope_line[1] - slope_line[2]), rel=1e-3)


def test_two_classes_predict_the_second_ones_probability(train):
    *_, end = train("logistic-regression", "--predict", "5", "1")
    five, one = end["predictions"]
    assert five > 0.8
    assert 0 < one < 0.5


def test_several_features_are_joined_by_commas(train):
    *_, end = train("two-moons", "--predict", "0,1", "1,-0.5", "--predict=-0.5,0.5")
    upper, lower, left = end["predictions"]
    assert upper < 0.1  # the middle of the upper moon, class 0
    assert lower > 0.9  # the middle of the lower one
    assert left < 0.5


def test_more_classes_predict_a_list_of_probabilities(train):
    picture = ",".join(["0.5"] * 784)
    *_, end = train("simplenet", "--set", "epochs=1", "--predict", picture)
    ((*probabilities,),) = end["predictions"]
    assert len(probabilities) == 10
    assert math.fsum(probabilities) == pytest.approx(1)


def test_wrong_inputs_are_all_told_before_anything_trains(run):
    status, out, err = run("train", "two-moons", "--predict", "1", "1,2", "1,2,3", "1,x", "nan,1", "")
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == 5
    assert all("2 numbers joined by commas" in line for line in lines)
    status, _, err = run("train", "linear-regression", "--predict", "1,2")
    assert status == 2
    assert "an input of line is a number." in err


def test_a_prediction_that_is_no_finite_number_is_null(train):
    *_, end = train("linear-regression", "--set", "epochs=1", "--predict", "1e300", "1")
    assert end["predictions"][0] is None
    assert math.isfinite(end["predictions"][1])


# Mistakes


def test_all_problems_are_told_at_once_on_standard_error(run):
    status, out, err = run("train", "simplenet", "--set", "optimizer.lr=-1", "--set", "epochs=0", "--set", "modle=mlp")
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 3
    for word in ("optimizer.lr", "epochs", "model"):
        assert word in err


@pytest.mark.parametrize(
    ("word", "nearest"), [("simplnet", "simplenet"), ("digit", "digits"), ("mnist_cnn", "mnist-cnn")]
)
def test_an_unknown_recipe_is_answered_with_those_there_are_and_the_nearest(run, word, nearest):
    status, out, err = run("train", word)
    assert (status, out) == (2, "")
    assert f"no recipe named '{word}'" in err
    assert all(name in err for name in RECIPES)
    assert "did you mean" in err
    assert nearest in err.split("did you mean")[1]


@pytest.mark.parametrize(
    "arguments", [[], ["train"], ["trian"], ["train", "mlp", "--sett", "a"], ["train", "mlp", "--set"]]
)
def test_a_wrong_command_is_answered_with_its_usage(run, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert "usage: python -m dlcore" in err


@pytest.mark.parametrize("change", ["epochs", "=3", "epochs.x=1", "epochs=", "optimizer=adma", "model.widths=[]"])
def test_a_change_that_cannot_be_is_one_line(run, change):
    status, out, err = run("train", "simplenet", "--set", change)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1


# Files


def test_a_recipe_is_read_from_a_file_and_can_be_changed(train, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(RECIPES["linear-regression"].recipe.to_json())
    start, *epochs, end = train(str(file), "--set", "epochs=2")
    assert (start["name"], len(epochs)) == ("mine", 2)
    *_, named = train("linear-regression", "--set", "epochs=2")
    assert end["val_loss"] == named["val_loss"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"epochs": 2, "epoch": 3, "data": {"kind": "moons", "noize": 1}}', "noise"),
        ('{"epochs": ', "not JSON"),
        ("", "not JSON"),
        ("[]", "[]"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_a_file_that_holds_no_recipe_is_told(run, tmp_path, text, word):
    file = tmp_path / "mine.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    status, out, err = run("train", str(file))
    assert (status, out) == (2, "")
    assert word in err
    assert "Traceback" not in err


def test_every_unknown_field_of_a_file_is_told(run, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"epoch": 3, "data": {"kind": "moons", "noize": 1}}')
    _, _, err = run("train", str(file))
    assert [line.split()[0] for line in err.splitlines()] == ["data.noize", "epoch"]


def test_a_missing_file_is_told(run, tmp_path):
    status, out, err = run("train", str(tmp_path / "none.json"))
    assert (status, out) == (2, "")
    assert err == f"There is no file {tmp_path / 'none.json'}.\n"


# Failures


def test_a_diverging_run_exits_1_with_valid_json_and_says_what_to_try(run):
    status, out, err = run("train", "simplenet", *DIVERGING, "--json")
    end = parsed(out)[-1]
    assert status == 1
    assert (end["event"], end["status"]) == ("end", "failed")
    assert "(1 instead of 10)" in end["error"]
    assert end["error"] in err
    assert "Traceback" not in err


def test_data_that_cannot_be_had_exit_1_with_one_sentence(run, monkeypatch, tmp_path):
    def offline(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    monkeypatch.setattr(Cifar10, "fetch", offline)
    status, out, err = run("train", "cifar-lenet", "--json")
    _, end = parsed(out)
    assert (status, end["status"], end["steps"]) == (1, "failed", 0)
    assert err == end["error"] + "\n"


def test_an_exception_exits_1_with_its_traceback_on_standard_error(run, monkeypatch):
    def refuse(self, report):
        raise KeyError("odd")

    monkeypatch.setattr(Moons, "load", refuse)
    status, out, err = run("train", "two-moons", "--set", "data.samples=321", "--json")
    assert status == 1
    assert parsed(out)[-1]["error"] == "KeyError: 'odd'"
    assert "Traceback" in err


# Real processes


def test_two_processes_print_the_same_numbers():
    def numbers():
        done = process(
            "train", "two-moons", "--set", "epochs=3", "--set", "model.dropout=0.2", "--json", "--predict", "0,1"
        )
        assert done.returncode == 0, done.stderr
        other = ("id", "seconds", "steps_per_second")
        return [{name: value for name, value in row.items() if name not in other} for row in parsed(done.stdout)]

    first = numbers()
    assert len(first) == 5
    assert numbers() == first


def test_a_process_exits_2_on_problems():
    done = process("train", "simplenet", "--set", "epochs=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("epochs is 0; it takes")


@pytest.mark.parametrize("lines", [1, 3])
def test_an_interrupt_ends_with_a_valid_last_line_and_status_130(tmp_path, lines):
    # A shell's background jobs ignore SIGINT, and their children inherit that: ask for the usual behaviour.
    program = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "runpy.run_module('dlcore', run_name='__main__', alter_sys=True)"
    )
    command = [sys.executable, "-c", program, "train", "two-moons", "--set", "epochs=100000", "--json"]
    errors = tmp_path / "errors"  # not a pipe: communicate() would lose what readline() has read ahead
    with errors.open("w") as file:
        started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        first = "".join(started.stdout.readline() for _ in range(lines))
        started.send_signal(signal.SIGINT)
        out = started.stdout.read()
        assert started.wait(100) == 130
    finally:
        started.kill()
    begun, *epochs, end = parsed(first + out)
    assert "Traceback" not in errors.read_text()
    assert (begun["event"], end["event"], end["status"]) == ("start", "end", "stopped")
    assert len(epochs) >= lines - 1
    if epochs:
        assert end["epoch"] == epochs[-1]["epoch"]
        assert end["steps"] >= epochs[-1]["step"]
        assert end["test_loss"] > 0
    with contextlib.closing(Store()) as store:
        kept = store.open(int(begun["id"]))
        assert (kept.status, kept.history.steps) == ("stopped", end["steps"])


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = f"'{sys.executable}' -m dlcore train two-moons --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=200)
    (row,) = parsed(done.stdout)
    assert row["event"] == "start"
    assert done.stderr == ""


def test_training_leaves_the_callers_threads_alone(train):
    before = torch.get_num_threads()
    train("linear-regression", "--set", "epochs=1")
    assert torch.get_num_threads() == before


# Runs that are kept


MOONS = ["two-moons", "--set", "data.samples=200", "--set", "batch_size=32"]
LISTED = {
    *("id", "name", "status", "reason", "epoch", "epochs", "step", "val_accuracy", "val_loss", "train_loss", "seconds"),
    *("best_epoch", "best_val_accuracy", "best_val_loss", "created", "elapsed", "tags", "note", "race", "parent"),
    *("parent_epoch", "size", "data", "model", "optimizer", "lr"),
}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A store of this test's own."""
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    with contextlib.closing(Store()) as store:
        yield store


@pytest.fixture
def tell(run):
    """Run a command that succeeds and prints JSON: the objects."""

    def call(*arguments, status=0):
        found, out, err = run(*arguments, "--json")
        assert found == status, err
        return parsed(out)

    return call


def refused(run, *arguments):
    """The sentence with which a command is refused."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    return err.strip()


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
        assert row["size"] == sum(file.stat().st_size for file in (runs.root / row["id"]).glob("*.pt")) > 0


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


def test_numbers_that_are_none_are_null_in_every_object(tell, runs):
    bad = replace(history(1).epochs[0], val_loss=math.nan, train_loss=math.inf, val_accuracy=None)
    one = record("odd", status="failed")
    one.history.add_epoch(bad)
    number = entered(runs, one)
    (listed,) = tell("runs")
    assert (listed["val_loss"], listed["train_loss"], listed["val_accuracy"]) == (None, None, None)
    (shown,) = tell("show", str(number))
    assert shown["history"][0]["val_loss"] is shown["history"][0]["train_loss"] is None


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


def test_a_run_has_the_name_that_it_is_given(tell, run, runs):
    start, *_ = tell("train", *MOONS, "--set", "epochs=1", "--name", '  a/b "c" 😀  ')
    assert start["name"] == tell("runs")[0]["name"] == 'a/b "c" 😀'
    for name in ("", "   ", "a\nb", "x" * 101, "x" * 10_000, "a\udcffb"):
        assert refused(run, "train", *MOONS, "--name", name).startswith("A run's name is one line of 1 to 100 letters")
    assert len(tell("runs")) == 1


def test_a_long_file_name_makes_no_trouble(tell, runs, tmp_path):
    file = tmp_path / f"{'x' * 200}.json"
    file.write_text(RECIPES["linear-regression"].recipe.to_json())
    start, *_ = tell("train", str(file), "--set", "epochs=1")
    assert start["name"] == "x" * 100


# Going on


def test_resume_prints_as_train_does(tell, runs):
    start, *epochs, end = tell("train", *MOONS, "--set", "epochs=2")
    again, *more, last = tell("resume", start["id"], "--set", "epochs=4", "--predict", "0,1")
    assert again == {"event": "start", "id": start["id"], "name": "two-moons", "epoch": 2, "step": 8}
    assert [row["epoch"] for row in epochs + more] == [1, 2, 3, 4]
    assert all(row.keys() == EPOCH | ACCURACIES for row in more)
    assert last.keys() == end.keys() == END | ACCURACIES | {"test_accuracy"}
    assert (last["status"], last["steps"], last["id"]) == ("finished", 16, start["id"])
    assert len(last["predictions"]) == 1
    _, *whole, same = tell("train", *MOONS, "--set", "epochs=4", "--predict", "0,1")
    clocks = ("id", "seconds", "steps_per_second")
    plain = lambda rows: [{name: value for name, value in row.items() if name not in clocks} for row in rows]  # noqa: E731
    assert plain([*epochs, *more, last]) == plain([*whole, same])


def test_no_epoch_is_missing_however_quick_they_are(tell, runs):
    for _ in range(5):
        _, *epochs, _ = tell("train", "linear-regression", "--set", "epochs=30")
        assert [row["epoch"] for row in epochs] == list(range(1, 31))


def test_branch_starts_from_a_kept_epoch_with_changes(tell, run, runs):
    _, *epochs, _ = tell("train", *MOONS, "--set", "epochs=3")
    start, *more, end = tell("branch", "1", "--at", "2", "--set", "optimizer=sgd", "--set", "epochs=4")
    assert start == {
        **{"event": "start", "id": "2", "name": "two-moons, from epoch 2", "epoch": 2, "step": 8, "parent": "1"}
    }
    assert [row["epoch"] for row in more] == [3, 4]
    assert (end["status"], end["steps"]) == ("finished", 16)
    assert more[0]["val_loss"] != epochs[2]["val_loss"]
    named, *_ = tell("branch", "2", "--at", "3", "--name", "mine")
    assert (named["name"], named["parent"]) == ("mine", "2")
    assert [row["parent"] for row in tell("runs")] == ["2", "1", None]
    out = run("branch", "1", "--at", "1", "--set", "batch_size=8")[1]
    assert out.startswith("run 4: two-moons, from epoch 1\nepoch")


def test_passed_over_checkpoints_are_told_on_standard_error(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2")
    (runs.root / "1" / "epoch-2.pt").write_bytes(b"notes")
    status, out, err = run("resume", "1", "--set", "epochs=3", "--json")
    start, *epochs, end = parsed(out)
    assert (status, start["epoch"], len(epochs), end["epoch"]) == (0, 1, 2, 3)
    assert err.startswith("The checkpoint epoch-2.pt of run 1 was passed over: it is damaged")
    assert len(err.splitlines()) == 1


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


# What cannot be


BAD_IDS = ["0", "99", "abc", "-1", "1.5", "1e3", "", "../1", "9" * 30, "1\x00", "²"]


@pytest.mark.parametrize("command", ["show", "resume", "delete", "restore", "export", "branch"])
@pytest.mark.parametrize("number", BAD_IDS)
def test_an_id_that_is_none_is_a_sentence(run, runs, command, number):
    more = {"export": ["--csv", "-"], "branch": ["--at", "1"]}.get(command, [])
    told = refused(run, command, *more, "--", number)
    known = f"There is no run {number} in" if number in ("0", "99") else "A run's id is a whole number, as `python -m"
    assert told.startswith(known)
    told.encode()
    assert sorted(path.name for path in runs.root.iterdir() if path.is_dir()) == []


def test_what_cannot_go_on_is_a_sentence(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2")
    for arguments, words in (
        (["resume", "1"], "Run 1 has done all its 2 epochs; to go on, give it more of them."),
        (["resume", "1", "--set", "epochs=1"], "epochs is 1, but epoch 2 has begun; the nearest is 2."),
        (["resume", "1", "--set", "seed=1"], "seed cannot change once a run has begun"),
        (["resume", "1", "--set", "epochs"], "A change is written SETTING=VALUE"),
        (["resume", "1", "--set", "epochs=3", "--predict", "1"], "an input of moons is 2 numbers joined by commas."),
        (["branch", "1", "--at", "7"], "has no checkpoint of epoch 7; it has those of epochs: 1, 2."),
        (["branch", "1", "--at", "-1"], "has no checkpoint of epoch -1"),
        (["branch", "1", "--at", "2"], "epochs is 2, but the branch begins after epoch 2; the nearest is 3."),
        (["branch", "1", "--at", "1", "--set", "model.widths=[3]"], "the network must be the same"),
        (["branch", "1", "--at", "1", "--set", "optimizer.lr=-1"], "optimizer.lr is -1"),
        (["branch", "1", "--at", "1", "--name", "a\nb"], "A run's name is one line"),
        (["export", "1", "--csv", "/dev/null/x.csv"], "/dev/null/x.csv cannot be written: Not a directory."),
        (["export", "1", "--csv", str(runs.root)], f"{runs.root} cannot be written: Is a directory."),
    ):
        assert words in refused(run, *arguments)
    assert [row["status"] for row in tell("runs")] == ["finished"]


@pytest.mark.parametrize("arguments", [["branch", "1"], ["branch", "1", "--at", "x"], ["export", "1"], ["resume"]])
def test_a_command_that_lacks_something_is_answered_with_its_usage(run, runs, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert f"usage: python -m dlcore {arguments[0]}" in err


COMMANDS = [
    ["train", "two-moons"],
    ["runs"],
    ["show", "1"],
    ["resume", "1"],
    ["branch", "1", "--at", "1"],
    ["delete", "1"],
    ["restore", "1"],
    ["import", "1"],
    ["export", "1", "--csv", "-"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("root", ["/dev/null/runs", "/proc/nothing/here"])
def test_a_disk_that_is_not_there_is_a_sentence(run, monkeypatch, arguments, root):
    monkeypatch.setenv("DLCORE_RUNS", root)
    assert f"Runs cannot be kept in {root}: " in refused(run, *arguments)


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: words[0])
def test_a_newer_store_is_a_sentence(run, runs, arguments):
    runs.database._connection.execute("PRAGMA user_version = 99")
    told = refused(run, *arguments)
    assert "has format 99" in told
    assert "update dlcore" in told


def test_a_store_that_cannot_be_written_can_be_listed_but_not_trained_in(run, tell, runs, monkeypatch):
    entered(runs, record("a", history=history(2), status="finished"))
    runs.save(runs.open(1), [checkpoint(1)])
    runs.close()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith(".db") and access(path, mode))
    assert tell("runs")[0]["name"] == "a"
    assert tell("show", "1")[0]["name"] == "a"
    assert run("export", "1", "--csv", "-")[0] == 0
    for arguments in (["train", *MOONS], ["resume", "1"], ["delete", "1"]):
        told = refused(run, *arguments)
        assert told.startswith(f"Runs cannot be kept in {runs.root} (")
        assert told.endswith("those that are there can be looked at.")


def test_a_damaged_list_of_runs_is_told_and_training_goes_on(run, tell, runs):
    entered(runs, record("a", status="finished"))
    runs.close()
    (runs.root / "dlcore.db").write_bytes(b"These are the notes of a person.\n" * 300)
    status, out, err = run("train", *MOONS, "--set", "epochs=1", "--json")
    assert (status, parsed(out)[0]["id"]) == (0, "2")
    assert "is damaged" in err
    assert [row["id"] for row in tell("runs")] == ["2"]


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


def test_a_disk_that_fills_up_is_told_and_training_goes_on(run, runs, monkeypatch):
    """It waits, and says so, until there is room again."""
    save, advance = Store.save, Driver.advance

    def told():
        return "Waiting" in sys.stderr.getvalue()

    def refuse_until_told(self, record, found=()):
        if record.history.epochs and not told():
            raise StoreError("The disk is full; make room there.")
        save(self, record, found)

    def wait_for_trouble(driver):  # or it would be over before
        if driver.job.history.epochs and not told():
            wait_until(lambda: driver.job._conductor._inbox)  # it comes that way
        advance(driver)

    monkeypatch.setattr(Store, "save", refuse_until_told)
    monkeypatch.setattr(Driver, "advance", wait_for_trouble)
    status, out, err = run("train", *MOONS, "--set", "epochs=30", "--json")
    _, *epochs, end = parsed(out)
    assert (status, len(epochs), end["status"]) == (0, 30, "finished")
    assert err.splitlines() == ["Waiting: The disk is full; make room there.", "Going on."]


def test_a_folder_that_is_removed_while_a_run_trains_is_told_and_the_run_is_there(run, runs, tell, monkeypatch):
    save, calls = Store.save, []

    def removed_once(self, record, found=()):
        calls.append(record.status)
        if len(calls) == 3:
            shutil.rmtree(runs.root)
        save(self, record, found)

    monkeypatch.setattr(Store, "save", removed_once)
    status, out, err = run("train", *MOONS, "--set", "epochs=300", "--json")
    assert (status, len(parsed(out))) == (0, 302)
    (told,) = err.splitlines()
    assert "dlcore.db was removed while it was in use; a new one has begun, and what is under way here (run 1)" in told
    assert [(row["id"], row["status"], row["epoch"]) for row in tell("runs")] == [("1", "finished", 300)]
    assert len(tell("show", "1")[0]["history"]) == 300


def test_an_end_that_cannot_be_saved_is_told(run, runs, monkeypatch):
    save = Store.save

    def refuse_ends(self, record, found=()):
        if record.status == "finished":
            raise StoreError("The disk is full.")
        save(self, record, found)

    monkeypatch.setattr(Store, "save", refuse_ends)
    status, out, err = run("train", *MOONS, "--set", "epochs=2", "--json")
    assert status == 1
    assert parsed(out)[-1]["status"] == "finished"
    assert err.splitlines()[-1] == "The end of run 1 is not saved: The disk is full."


# Runs in several processes


def test_a_run_of_another_process_is_left_alone_until_that_is_killed(run, tell, tmp_path, runs):
    other = Process(tmp_path, "train", *MOONS, "--set", "epochs=100000", "--set", "model.dropout=0.2")
    wait_until(lambda: len(other.lines()) > 12, LONG, 0.005)
    for command in ("resume", "delete"):
        assert refused(run, command, "1").startswith("Run 1 is under way")
    assert tell("runs")[0]["status"] == "training"
    assert other.status is None
    other.kill()
    told = [line["epoch"] for line in other.lines()[1:]]
    assert told == list(range(1, told[-1] + 1))
    (listed,) = tell("runs")
    assert (listed["status"], listed["id"]) == ("interrupted", "1")
    assert listed["epoch"] >= told[-1]  # what was told is not lost
    last = listed["epoch"] + 3
    start, *epochs, end = tell("resume", "1", "--set", f"epochs={last}")
    assert [row["epoch"] for row in epochs] == list(range(start["epoch"] + 1, last + 1))
    assert (end["status"], end["steps"]) == ("finished", 4 * last)
    _, *whole, same = tell("train", *MOONS, "--set", f"epochs={last}", "--set", "model.dropout=0.2")
    expected = {row["epoch"]: row["val_loss"] for row in whole}
    assert all(row["val_loss"] == expected[row["epoch"]] for row in [*other.lines()[1:], *epochs])
    assert [row["val_loss"] for row in tell("show", "1")[0]["history"]] == list(expected.values())
    assert end["test_loss"] == same["test_loss"]
