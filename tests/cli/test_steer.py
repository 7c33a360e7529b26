"""Commands for a run that trains already: in this process, which stands for a dashboard, or by another command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlcore.cli.main import main
from dlcore.engine.conductor import Conductor
from dlcore.runs.store import Store
from tests.running import ENDLESS, LONG, MOONS, finish, take
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def dashboard(runs):
    """What a dashboard trains with."""
    conductor = Conductor(threads=1, store=Store(runs.root))
    yield conductor
    conductor.close()
    conductor.store.close()


def command(*arguments: str) -> str:
    """A command as a person types it, in a process of its own."""
    program = [sys.executable, "-m", "dlcore", *arguments]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=LONG)
    assert not done.stderr
    return done.stdout


def test_a_dashboards_run_is_paused_steered_let_go_on_and_stopped_by_commands(dashboard):
    job = dashboard.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    assert command("pause", job.id) == f"run {job.id} is paused\n"
    assert job.status == "paused"
    steered = command("steer", job.id, "--set", "optimizer.lr=0.25", "--set", "stop.patience=100000")
    assert steered == f"run {job.id} goes on with optimizer.lr=0.25, stop.patience=100000\n"
    assert (job.recipe.optimizer.lr, job.recipe.stop.patience) == (0.25, 100000)
    wait_until(lambda: dashboard.store.open(job.number).status == "paused")
    steps = job.history.steps
    assert command("resume", job.id) == f"run {job.id} goes on\n"
    wait_until(lambda: job.history.steps > steps)
    assert command("stop", job.id) == f"run {job.id} is stopped\n"
    finish(job)
    assert job.status == "stopped"


def test_a_commands_run_is_paused_steered_let_go_on_and_stopped_from_elsewhere(runs, tmp_path):
    program = [sys.executable, "-m", "dlcore", "train", "two-moons", "--set", "epochs=100000", "--json"]
    with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ}) as headless:
        start = json.loads(headless.stdout.readline())
        number = start["id"]
        wait_until(lambda: runs.open(int(number)).history.steps, LONG)
        assert main(["pause", number]) == 0
        wait_until(lambda: runs.open(int(number)).status == "paused", LONG)
        assert main(["steer", number, "--set", "optimizer.lr=0.5"]) == 0
        assert runs.open(int(number)).recipe.optimizer.lr == 0.5
        steps = runs.open(int(number)).history.steps
        assert main(["resume", number]) == 0
        wait_until(lambda: runs.open(int(number)).history.steps > steps, LONG)
        assert main(["stop", number]) == 0
        *_, end = (json.loads(line) for line in headless.stdout)
        assert end["status"] == "stopped"
        assert headless.wait(LONG) == 130


@pytest.mark.parametrize("word", ["pause", "stop"])
def test_nobody_is_there_to_hear_of_a_run_that_is_over(run, dashboard, word):
    job = dashboard.submit("moons", MOONS)
    finish(job)
    assert job.wait_saved(LONG)
    status, out, err = run(word, job.id)
    assert (status, out) == (2, "")
    assert err.startswith(f"Run {job.id} is not under way, so nobody is there to {word} it; let it go on first (")


def test_a_dashboards_run_is_operated_on_by_a_command(run, dashboard):
    job = dashboard.submit("moons", MOONS, paused=True)
    take(job, 1)
    asked = ("surgery.silence.dense.3=true", "surgery.freeze.output=true")
    status, out, err = run("steer", job.id, "--set", asked[0], "--set", asked[1])
    assert (status, out, err) == (0, f"run 1 goes on with {', '.join(asked)}\n", "")
    take(job, 1)
    assert [(one.step, one.setting) for one in job.history.changes] == [
        (1, "surgery.freeze.output"), (1, "surgery.silence.dense.3"),
    ]  # fmt: skip
    assert "after step 1: surgery.silence.dense.3 = true" in run("show", job.id)[1]
    job.stop()


def test_what_cannot_be_steered_is_a_sentence(run, dashboard):
    job = dashboard.submit("moons", MOONS, paused=True)
    take(job, 0)
    for change, words in {
        "seed=3": "cannot change",
        "optimizer.lr=-1": "optimizer.lr",
        "nonsense": "is written",
        "surgery.silence.dense.9=true": "the nearest is 8",
        "surgery.freeze.dens=true": "did you mean dense?",
        "surgery.noise.dense=loud": "it takes a number above 0",
    }.items():
        status, out, err = run("steer", job.id, "--set", change)
        assert (status, out) == (2, ""), change
        assert words in err
    assert "steer takes values" in run("steer", job.id)[2]
    assert job.recipe == MOONS
