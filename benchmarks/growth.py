"""How time and memory grow with the data, the network, the epochs, and the runs in the store.

Data: files in MNIST's format with that many pictures, as `mnist` reads them, the last of them a quarter larger than
this machine's memory, and a small CNN; a process each, whose memory is its highest, and what it holds in the end
besides pages of files, which the system takes back when it needs room. Network: perceptrons that learn mnist-5k, over
the bare loop on one batch. Epochs: a stored run of so many, opened, and both its charts. Runs: a store of so many, and
the Runs page of a dashboard in a real Chromium. To reach: 10⁶ pictures, larger than memory included; 10⁸ parameters;
the page with 10⁴ runs in 1 s.
"""

import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import ENDLESS, conductor, in_turns, print_table, spread, under_way
from benchmarks.memory import resident
from benchmarks.pictures import write_mnist
from benchmarks.steps import bare, trained
from benchmarks.tick import epoch
from benchmarks.viewing import dashboard, new_page
from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import load
from dlcore.engine.training import build
from dlcore.history import History
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.runs.records import Stored
from dlcore.runs.store import Store
from pages.parts.charts import accuracy_figure, loss_figure
from tests.browser.chromium import launched
from tests.browser.helpers import drawn, settled, visit

PICTURES = (10**4, 10**5, 10**6)
WIDTHS = ((128,), (850, 400), (2000, 3000, 800), (4096,) * 7)  # 10⁵ to 10⁸ parameters
EPOCHS = (10**3, 10**4, 10**5)
RUNS = (10**2, 10**3, 10**4)
ROUNDS, SECONDS = 5, 2.0


def run() -> None:
    counts = (*PICTURES, larger_than_memory())
    print_table(["pictures", "loading, s", "ms a step", "memory, MB", "without files, MB"], map(pictures, counts))
    print()
    print_table(
        ["parameters", "bare loop, ms", "dlcore", "bytes a parameter"],
        [parameters(widths) for widths in WIDTHS],
    )
    print()
    print_table(["epochs", "opening, ms", "opening again, ms", "charts, ms"], [epochs(count) for count in EPOCHS])
    print()
    print_table(["runs", "first visit, s", "next visit, s"], [runs(count) for count in RUNS])


def larger_than_memory() -> int:
    """Pictures that take a quarter more than this machine has; in whole millions."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return math.ceil(1.25 * memory / 28**2 / 10**6) * 10**6


def pictures(count: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-") as folder:
        if shutil.disk_usage(folder).free < 1.2 * count * 28**2:
            return [f"{count:,}", *["no room on disk"] * 4]
        write_mnist(Path(folder), count)
        command = [sys.executable, "-c", "from benchmarks import growth; growth.train_pictures()"]
        told = subprocess.run(
            command, env=os.environ | {"DLCORE_DATA": folder}, capture_output=True, text=True, check=True
        ).stdout
    found = json.loads(told)
    megabytes = (f"{found[name] / 1e6:,.0f}" for name in ("highest", "own"))
    return [f"{count:,}", f"{found['loading']:.1f}", f"{found['step'] * 1e3:.2f}", *megabytes]


def train_pictures() -> None:
    """In a process of its own: load the pictures, train for a while, and tell."""
    recipe = change(RECIPES["digits"].recipe, {"data": {"kind": "mnist"}, "epochs": ENDLESS})
    start = time.perf_counter()
    load(recipe.data)
    loading = time.perf_counter() - start
    with conductor() as place:
        step = trained(under_way(place.submit("pictures", recipe)), 5 * SECONDS)
        own = int(re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # known on Linux only
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"loading": loading, "step": step, "highest": highest * 1024, "own": own * 1024}))


def parameters(widths: tuple[int, ...]) -> list[str]:
    recipe = Recipe(model=MLP(widths=widths), epochs=ENDLESS)
    data = load(recipe.data)
    fresh, batch = build(recipe, data), (data.train.inputs[:64], data.train.targets[:64])
    count = sum(parameter.numel() for parameter in fresh.model.parameters())
    before = resident(os.getpid())
    with conductor(threads=1) as place:
        job = under_way(place.submit("parameters", recipe))

        torch.set_num_threads(1)  # for the bare loop, as the conductor's thread has it
        floor = bare(fresh, batch, 3)
        steps, seconds = max(3, round(SECONDS / floor)), max(SECONDS, 3 * floor)
        arms = {"bare": lambda: bare(fresh, batch, steps), "dlcore": lambda: trained(job, seconds)}
        found = in_turns(arms, ROUNDS)
        held = (resident(os.getpid()) - before) / count
    return [f"{count:,}", spread(found["bare"], 1e3), spread(found["dlcore"] / found["bare"]), f"{held:.0f}"]


def epochs(count: int) -> list[str]:
    losses = 1 / np.sqrt(np.arange(1, count * 10 + 1, dtype=np.float32))
    rows = [epoch(number) for number in range(1, count + 1)]
    with filled([Stored(0, "long", RECIPES["simplenet"].recipe, History(losses, rows), steps_per_epoch=10)]) as root:
        store, found = Store(root), {"opening": [], "again": [], "charts": []}
        for _ in range(ROUNDS):
            start = time.perf_counter()
            record = store.open(1)
            opened = time.perf_counter()
            store.open(1, record)
            again = time.perf_counter()
            loss_figure([record]), accuracy_figure([record])
            for name, seconds in (("opening", opened - start), ("again", again - opened)):
                found[name].append(seconds)
            found["charts"].append(time.perf_counter() - again)
        store.close()
    return [f"{count:,}", *(spread(times, 1e3) for times in found.values())]


def runs(count: int) -> list[str]:
    recipe = RECIPES["simplenet"].recipe
    history = History(np.ones(20, np.float32), [epoch(number) for number in (1, 2)])
    first, later = [], []
    with launched() as browser, dashboard() as (url, root, _):
        fill(root, [Stored(0, f"run {number}", recipe, history, status="finished") for number in range(count)])
        page = new_page(browser)
        visit(page, url)
        for _ in range(ROUNDS + 1):
            page.get_by_role("link", name="Train", exact=True).click()
            drawn(page, "live-loss")
            settled(page)
            start = time.perf_counter()
            page.get_by_role("link", name="Runs", exact=True).click()
            page.locator(".st-key-runs-table canvas").first.wait_for()
            page.locator(".st-key-run-loss .main-svg").first.wait_for()
            settled(page)
            (later if first else first).append(time.perf_counter() - start)
    return [f"{count:,}", f"{first[0]:.2f}", spread(later)]


@contextmanager
def filled(records: list[Stored]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-") as folder:
        fill(Path(folder), records)
        yield Path(folder)


def fill(root: Path, records: list[Stored]) -> None:
    """Save runs that are over."""
    store = Store(root)
    for record in records:
        record.number = store.create(record)
        store.hold(record.number)
        store.save(record)
        store.release(record.number)
    store.close()
