"""What a run takes in memory, and how much a dashboard grows that is watched for half an hour.

Recorded numbers are a loss a step, and nine numbers an epoch. The dashboard trains simplenet at full speed, with a
Chromium on its Train page; its growth is the memory of its process after a number of minutes beyond that after the
first five, over the numbers recorded since. To reach: at most 20 bytes a number.
"""

import math
import re
import time
import tracemalloc
from pathlib import Path

import torch

from benchmarks.measuring import ENDLESS, print_table
from benchmarks.tick import PER_EPOCH, epoch
from benchmarks.viewing import begin, dashboard, tabs
from dlcore.history import History
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from tests.browser.chromium import launched

LENGTHS, MINUTES, SETTLED = (10**3, 10**4, 10**5, 10**6), 35, 5


def run() -> None:
    print_table(["steps", "epochs", "bytes a number"], [held(length) for length in LENGTHS])
    print()
    print_table(["minutes", "numbers", "memory, MB", "growth, bytes a number"], watched())


def held(steps: int) -> list[str]:
    """Of a history that is recorded as a run records it."""
    tracemalloc.start()
    history, loss = History(), torch.tensor(0.5)
    for step in range(1, steps + 1):
        history.add_step(loss)
        if step % PER_EPOCH == 0:
            history.add_epoch(epoch(step // PER_EPOCH))
    history.settle()
    found, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return [f"{steps:,}", f"{len(history.epochs):,}", f"{found / numbers(steps, len(history.epochs)):.1f}"]


def watched() -> list[list[str]]:
    recipe, rows = RECIPES["simplenet"].recipe.model_copy(update={"epochs": ENDLESS * 10}), []
    with dashboard() as (url, runs, process), launched() as browser:
        begin(browser, url, recipe)
        store = Store(runs)
        start, first = time.monotonic(), (math.nan, math.nan)
        with tabs(browser, url, 1):
            for minutes in range(SETTLED, MINUTES + 1, 5):
                time.sleep(max(0.0, start + minutes * 60 - time.monotonic()))
                row, memory = store.rows()[0], resident(process.pid)
                recorded = numbers(row["step"], row["epoch"])
                growth = (memory - first[0]) / (recorded - first[1]) if rows else math.nan
                first = first if rows else (memory, recorded)
                rows.append([minutes, f"{recorded:,}", f"{memory / 1e6:.1f}", f"{growth:.1f}"])
    return rows


def numbers(steps: int, epochs: int) -> int:
    return steps + 9 * epochs


def resident(process: int) -> int:
    """Bytes of memory that a process holds; known on Linux only."""
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1])
