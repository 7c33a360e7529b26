import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dlcore.__main__ import main
from dlcore.datasets import Cifar10, Moons
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES

ROOT = Path(__file__).parents[1]
EPOCH = {"event", "epoch", "step", "train_loss", "val_loss", "lr", "seconds", "steps_per_second"}
END = EPOCH - {"step"} | {"status", "steps", "test_loss", "predictions"}
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


def test_json_gives_a_line_an_epoch_and_a_last_one_for_the_end(train):
    *epochs, end = train("two-moons", "--set", "epochs=4")
    assert [row["event"] for row in epochs] == ["epoch"] * 4
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4]
    assert all(set(row) == EPOCH | ACCURACIES for row in epochs)
    assert set(end) == END | ACCURACIES | {"test_accuracy"}
    assert (end["event"], end["status"], end["steps"]) == ("end", "finished", epochs[-1]["step"])
    assert all(end[name] == epochs[-1][name] for name in ("val_loss", "val_accuracy", "train_loss", "lr"))
    assert end["predictions"] == []


def test_regression_has_no_accuracy(train):
    *epochs, end = train("linear-regression", "--set", "epochs=3")
    assert all(set(row) == EPOCH for row in epochs)
    assert set(end) == END


def test_a_person_gets_a_table_of_few_rows_with_the_last_epoch_in_it(run):
    status, out, _ = run("train", "linear-regression", "--set", "epochs=90", "--predict", "5")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].split() == ["epoch", "train", "loss", "val", "loss", "train", "acc", "val", "acc", "lr", "time"]
    rows = [line for line in lines[1:] if line.split() and line.split()[0].isdigit()]
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
    *epochs, _ = train("linear-regression", "--set", "epochs=5", "--set", "epochs=2")
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
    *epochs, end = train(str(file), "--set", "epochs=2")
    assert len(epochs) == 2
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
    (end,) = parsed(out)
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
        clock = ("seconds", "steps_per_second")
        return [{name: value for name, value in row.items() if name not in clock} for row in parsed(done.stdout)]

    first = numbers()
    assert len(first) == 4
    assert numbers() == first


def test_a_process_exits_2_on_problems():
    done = process("train", "simplenet", "--set", "epochs=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("epochs is 0; it takes")


def test_an_interrupt_ends_with_a_valid_last_line_and_status_130(tmp_path):
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
        first = started.stdout.readline()
        started.send_signal(signal.SIGINT)
        out = started.stdout.read()
        assert started.wait(100) == 130
    finally:
        started.kill()
    *epochs, end = parsed(first + out)
    assert "Traceback" not in errors.read_text()
    assert (end["event"], end["status"]) == ("end", "stopped")
    assert end["epoch"] == epochs[-1]["epoch"]
    assert end["steps"] >= epochs[-1]["step"]
    assert end["test_loss"] > 0


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = f"'{sys.executable}' -m dlcore train two-moons --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=200)
    (row,) = parsed(done.stdout)
    assert row["epoch"] == 1
    assert done.stderr == ""


def test_training_leaves_the_callers_threads_alone(train):
    before = torch.get_num_threads()
    train("linear-regression", "--set", "epochs=1")
    assert torch.get_num_threads() == before
