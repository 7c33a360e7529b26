import contextlib
import shutil
import signal
import subprocess
import sys

import pytest

from dlcore.catalogue.datasets import Cifar10, Moons
from dlcore.engine.driver import Driver
from dlcore.runs.store import Store, StoreError
from tests.cli.calling import DIVERGING, MOONS, ROOT, parsed, refused
from tests.kill_campaign import Process
from tests.running import LONG
from tests.runs.storing import entered, record
from tests.waiting import wait_until

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


# A store in trouble while a run trains


def test_a_damaged_list_of_runs_is_told_and_training_goes_on(run, tell, runs):
    entered(runs, record("a", status="finished"))
    runs.close()
    (runs.root / "dlcore.db").write_bytes(b"These are the notes of a person.\n" * 300)
    status, out, err = run("train", *MOONS, "--set", "epochs=1", "--json")
    assert (status, parsed(out)[0]["id"]) == (0, "2")
    assert "is damaged" in err
    assert [row["id"] for row in tell("runs")] == ["2"]


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
            gone = runs.root.rename(runs.root.with_name("gone"))  # at once: whoever looks meanwhile finds no half of it
            shutil.rmtree(gone)
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


# Processes that are interrupted or killed


@pytest.mark.slow
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


@pytest.mark.slow
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
