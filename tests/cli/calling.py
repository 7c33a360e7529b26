"""What the tests of the command line share: calls in a process of their own, and what is printed."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOONS = ["two-moons", "--set", "data.samples=200", "--set", "batch_size=32"]
EPOCH = {"event", "epoch", "step", "train_loss", "val_loss", "lr", "seconds", "steps_per_second"}
END = EPOCH - {"step"} | {"id", "status", "steps", "test_loss", "predictions"}
ACCURACIES = {"train_accuracy", "val_accuracy"}
DIVERGING = ["--set", "loss=mse", "--set", "optimizer=sgd", "--set", "optimizer.lr=10"]
LISTED = {
    *("id", "name", "status", "reason", "epoch", "epochs", "step", "val_accuracy", "val_loss", "train_loss", "seconds"),
    *("best_epoch", "best_val_accuracy", "best_val_loss", "created", "elapsed", "tags", "note", "race", "parent"),
    *("parent_epoch", "size", "data", "model", "optimizer", "lr"),
}


def refuse(token):
    raise ValueError(f"{token} is not JSON")


def parsed(text):
    """Every line of the output as an object; NaN and Infinity, which Python would take, are refused."""
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def refused(run, *arguments):
    """The sentence with which a command is refused."""
    status, out, err = run(*arguments)
    assert (status, out) == (2, ""), err
    assert len(err.splitlines()) == 1, err
    assert "Traceback" not in err
    return err.strip()


def process(*arguments, **named):
    command = [sys.executable, "-m", "dlcore", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, **named)
