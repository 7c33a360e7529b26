import os
import subprocess
import sys

import pytest

from tests.cli.calling import MOONS, ROOT, parsed, process, refused
from tests.runs.storing import checkpoint, entered, history, record


@pytest.mark.parametrize(
    "arguments", [[], ["train"], ["trian"], ["train", "mlp", "--sett", "a"], ["train", "mlp", "--set"]]
)
def test_a_wrong_command_is_answered_with_its_usage(run, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert "usage: python -m dlcore" in err


@pytest.mark.parametrize("arguments", [["branch", "1"], ["branch", "1", "--at", "x"], ["export", "1"], ["resume"]])
def test_a_command_that_lacks_something_is_answered_with_its_usage(run, runs, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert f"usage: python -m dlcore {arguments[0]}" in err


# Stores that cannot be used

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
def test_a_disk_that_is_not_there_is_a_sentence(run, monkeypatch, arguments):
    for root in ("/dev/null/runs", "/proc/nothing/here"):
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


# Real processes


def test_a_process_exits_2_on_problems():
    done = process("train", "simplenet", "--set", "epochs=0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("epochs is 0; it takes")


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_gets_no_traceback():
    command = f"'{sys.executable}' -m dlcore train two-moons --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=200)
    (row,) = parsed(done.stdout)
    assert row["event"] == "start"
    assert done.stderr == ""
