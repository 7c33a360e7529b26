"""Measuring: what is compared takes turns, so that a machine whose speed wanders wanders for all alike.

What counts is the ratio of two figures of the same round; shown are medians, and the quartiles as spread.
"""

import contextlib
import datetime
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.runs.store import Store

ENDLESS = 10_000  # epochs, which no benchmark comes near
PACKAGES = ("torch", "torchvision", "streamlit", "plotly", "lightning", "skorch", "keras", "fastai")
TORCH_THREADS = torch.get_num_threads()  # of a process that changes nothing; read before any benchmark sets another

Arm = TypeVar("Arm", bound=Hashable)


def in_turns(arms: Mapping[Arm, Callable[[], float | np.ndarray]], rounds: int) -> dict[Arm, np.ndarray]:
    """Each arm's figures, a round each; within a round, the arms' order is drawn anew."""
    draw, found = random.Random(0), {name: [] for name in arms}
    for _ in range(rounds):
        for name in draw.sample(list(arms), len(arms)):
            found[name].append(arms[name]())
    return {name: np.array(figures) for name, figures in found.items()}


def on_threads(threads: int, figure: Callable[[], float]) -> float:
    """A figure that is taken while a step's arithmetic here uses so many threads."""
    torch.set_num_threads(threads)
    return figure()


def spread(figures: Sequence[float], unit: float = 1, digits: int = 3) -> str:
    """`1.02 (0.99 to 1.05)`: the median and the quartiles."""
    low, middle, high = (np.quantile(figures, share) * unit for share in (0.25, 0.5, 0.75))
    return f"{middle:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """In Markdown, as in README.md."""
    for row in [columns, ["---"] * len(columns), *rows]:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def machine() -> str:
    """What the figures were taken on."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    cores = f"{os.cpu_count()} cores of {cpu or platform.machine()}"
    packages = ", ".join(f"{name} {number}" for name in PACKAGES if (number := installed(name)))
    return f"{datetime.date.today()}, {cores}, {platform.system()}, Python {platform.python_version()}, {packages}"


def installed(package: str) -> str:
    """Its version; empty when it is not there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


@contextlib.contextmanager
def conductor(root: Path | None = None, kept: bool = True, threads: int | None = None) -> Iterator[Conductor]:
    """One as the dashboard has it: it keeps its runs in `root` or in a folder of its own, or nowhere."""
    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-") as folder:
        found = Conductor(threads, store=Store(root or Path(folder)) if kept else None)
        try:
            yield found
        finally:
            found.close()


def under_way(job: Job) -> Job:
    """Waits until a job trains, and pauses it."""
    while job.history.steps < 5:
        if not job.active:
            raise RuntimeError(f"{job.name} is {job.status}: {job.failure}")
        time.sleep(0.05)
    pause(job)
    return job


def pause(job: Job) -> None:
    """Returns when the step in hand is done, whose time is then on the clocks."""
    job.pause()
    job.ask(lambda run: None).result()


def let_go(job: Job, seconds: float) -> tuple[int, float, float]:
    """A paused job trains for a while: the steps it took, the seconds, and how many of those went into evaluation."""
    before = job.history.steps, job.elapsed, job.evaluating
    job.resume()
    time.sleep(seconds)
    pause(job)
    steps, elapsed, evaluating = before
    return job.history.steps - steps, job.elapsed - elapsed, job.evaluating - evaluating
