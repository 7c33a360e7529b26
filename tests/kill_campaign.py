"""Kill training processes at random moments, let them go on, and compare with processes that were let be.

    python -m tests.kill_campaign --kills 50
    python -m tests.kill_campaign --kills 10 --seed 7 digits two-moons
    python -m tests.kill_campaign --kills 40 --watched

A run is killed several times and then finishes. Equal are runs whose step losses, epochs, last weights, optimizer's
memory, random numbers, test scores and predictions are the same, to the bit. Watched ones have threads beside them that
build the networks of stored runs all the while; those that are let be have none.
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from dlcore.cli.main import main
from dlcore.engine.capture import network
from dlcore.engine.predicting import predict
from dlcore.runs.store import Store
from tests.capturing import same
from tests.catalogue.datasets.files import write_cifar
from tests.running import forkserver, measured
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
LONG = 300  # seconds that nothing here comes near
# What is trained: a recipe, settings that make it short, and inputs to predict.
COURSES = {
    "digits": ("digits", ["epochs=3", "batch_size=100"], []),
    "simplenet": ("simplenet", ["epochs=12"], []),
    "mlp": ("mlp", ["epochs=10"], []),
    "mnist-cnn": ("mnist-cnn", ["epochs=2", "batch_size=200"], []),
    "cifar-lenet": ("cifar-lenet", ["epochs=60", "batch_size=4"], []),
    "row-lstm": ("row-lstm", ["epochs=2", "batch_size=200"], []),
    "two-moons": ("two-moons", ["epochs=80"], ["0,1"]),
    "linear-regression": ("linear-regression", [], ["5"]),
    "logistic-regression": ("logistic-regression", [], ["5", "1"]),
    "everything": (
        "two-moons",
        [
            *("epochs=30", "model.dropout=0.3", "model.batch_norm=true", "schedule=one-cycle", "optimizer=nadam"),
            *("optimizer.weight_decay=0.01", "batch_size=17"),
        ],
        ["0,1"],
    ),
}


@dataclass
class Result:
    """A run that came to its end, in however many pieces."""

    root: Path
    number: int
    end: dict  # the last line
    kills: int
    loading: float  # seconds from the first line to the first epoch
    training: float  # and from there to the end


class FailedError(AssertionError):
    """A run did not do what it should."""


class Process:
    """A command that trains, once it has told its first line."""

    def __init__(self, root: Path, *arguments: str):
        environment = {"DLCORE_RUNS": str(root / "runs"), "DLCORE_DATA": str(root / "data")}
        self._out = root / "out"  # not a pipe, which would be full some time
        self._out.write_text("")
        self._start(environment, [*arguments, "--json"])
        self.first = wait_until(lambda: self.lines() or self.status is not None, LONG, 0.005) and self.lines()[0]
        self.begun = time.monotonic()

    def _start(self, environment: dict[str, str], arguments: list[str]) -> None:
        command = [sys.executable, "-m", "dlcore", *arguments]
        with self._out.open("w") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stdout=out)

    @property
    def status(self) -> int | None:
        return self._process.poll()

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self._out.read_text().splitlines(keepends=True) if line.endswith("\n")]

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time; how it should."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.status is not None, seconds, 0.005)
        if self.status:
            raise FailedError(f"the process ended with {self.status}")
        return self.status == 0

    def kill(self) -> None:
        self._process.kill()
        wait_until(lambda: self.status is not None, LONG, 0.005)


class Forked(Process):
    """The same, quicker: from a process that has imported torch already."""

    watched = False

    def _start(self, environment, arguments):
        self._process = forkserver().Process(target=_main, args=(self._out, environment, arguments, self.watched))
        self._process.start()

    @property
    def status(self):
        return self._process.exitcode


class Watched(Forked):
    """The same, with others in the process who look at what is stored."""

    watched = True


def _main(out: Path, environment: dict[str, str], arguments: list[str], watched: bool) -> None:
    os.environ.update(environment)
    for _ in range(2 * watched):
        threading.Thread(target=_look, args=(Store(),), daemon=True).start()
    with out.open("w") as sys.stdout:
        status = main(arguments)
    os._exit(status)


def _look(store: Store) -> None:
    """At the networks of stored runs, one after the other, for ever."""
    while True:
        for number in store.numbers():
            run = store.open(number)
            checkpoint, _ = store.latest(run)
            if checkpoint:
                asked = network(run.recipe_at(checkpoint.step), checkpoint)
                predict(asked, torch.zeros(4, *run.recipe.shape))


def train(
    root: Path,
    course: str,
    kills: int = 0,
    draw: random.Random | None = None,
    like: Result | None = None,
    start: type[Process] = Process,
) -> Result:
    """Train a course to its end. Up to `kills` times its process is killed at some moment between its first line and
    that share of the time which `like` took; fewer when it was quicker.
    """
    (root / "data").mkdir(parents=True, exist_ok=True)
    if course == "cifar-lenet":
        write_cifar(root / "data")
    recipe, settings, inputs = COURSES[course]
    asked = [word for value in inputs for word in ("--predict", value)]
    arguments = ["train", recipe, *(word for setting in settings for word in ("--set", setting)), *asked]
    for killed in range(kills + 1):
        process = start(root, *arguments)
        number = int(process.first["id"])
        if killed == kills:
            wait_until(lambda process=process: len(process.lines()) > 1, LONG, 0.005)
        loaded = time.monotonic()
        patience = LONG if killed == kills else draw.uniform(0, like.loading + like.training / (kills + 0.5))
        if process.wait(patience):
            end = time.monotonic()
            return Result(root, number, process.lines()[-1], killed, loaded - process.begun, end - loaded)
        process.kill()
        arguments = ["resume", str(number), *asked]
        with contextlib.closing(Store(root / "runs")) as store:
            status = store.open(number).status
        if status == "finished":  # and was about to tell so
            return Result(root, number, {}, killed + 1, 0.0, 0.0)
        if status != "interrupted":
            raise FailedError(f"{course} is {status} after it was killed")
    raise FailedError(f"{course} is not over after {LONG} seconds")


def difference(one: Result, other: Result) -> str:
    """In what two runs differ; empty when they are equal."""
    clocks = ("id", "seconds", "steps_per_second")
    ends = [{name: value for name, value in found.end.items() if name not in clocks} for found in (one, other)]
    stores = [Store(found.root / "runs") for found in (one, other)]
    with contextlib.closing(stores[0]), contextlib.closing(stores[1]):
        runs = [store.open(found.number) for store, found in zip(stores, (one, other), strict=True)]
        losses, rows = zip(*(measured(run.history) for run in runs), strict=True)
        latest = [vars(store.latest(run)[0]) for store, run in zip(stores, runs, strict=True)]
    parts = {"losses": losses, "epochs": rows} | ({"end": ends} if all(ends) else {})
    parts |= {name: [found[name] for found in latest] for name in ("step", "model", "optimizer", "random")}
    return ", ".join(name for name, (a, b) in parts.items() if not same(a, b))


def campaign(
    root: Path, courses: list[str], kills: int, seed: int, each: int = 4, start: type[Process] = Process
) -> tuple[int, int]:
    """How many runs there were, and how many of them were equal to one that was let be."""
    draw, done, runs, equal, whole = random.Random(seed), 0, 0, 0, {}
    while done < kills:
        course = courses[runs % len(courses)]
        if course not in whole:
            whole[course] = train(root / course, course)
        result = train(root / f"{course}-{runs}", course, min(each, kills - done), draw, whole[course], start)
        found = difference(whole[course], result)
        done, runs, equal = done + result.kills, runs + 1, equal + (not found)
        print(f"{course}: {result.kills} kills, {f'differs in {found}' if found else 'equal'}", flush=True)
    print(f"kills {done}, runs {runs}, equal runs {equal}")
    return runs, equal


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--watched", action="store_true", help="with threads beside it that look at stored runs")
    parser.add_argument("courses", nargs="*", default=list(COURSES), metavar="COURSE", help=", ".join(COURSES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dlcore-kills-") as root:
        start = Watched if options.watched else Process
        runs, equal = campaign(Path(root), options.courses, options.kills, options.seed, start=start)
    return int(equal < runs)


if __name__ == "__main__":
    sys.exit(run())
