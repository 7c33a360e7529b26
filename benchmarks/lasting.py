"""What runs that are over, and tabs that come and go, leave behind in one process.

Runs: one after the other in a process that keeps them in a store, each a perceptron of 1.8 million weights with Adam;
after some of them the memory, and the time of a step of simplenet. Tabs: twenty Chromium pages that are opened anew all
the time, on a dashboard that trains; by minutes, its open files, of which a session's event loop has three, and its
memory. To reach: after 300 runs as after the first; a number of files that does not grow.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import ENDLESS, conductor, print_table, under_way
from benchmarks.memory import resident
from benchmarks.steps import trained
from benchmarks.viewing import begin, dashboard, new_page
from dlcore.catalogue.architectures import MLP
from dlcore.engine.conductor import Conductor
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from tests.browser.chromium import launched
from tests.browser.helpers import drawn, visit

FINISHED, LARGE = (1, 10, 100, 300), Recipe(model=MLP(widths=(1000, 1000)), batch_size=1000, epochs=1)
SECONDS = 2.0
TABS, MINUTES, EVERY = 20, 10, 2


def run() -> None:
    print_table(["finished runs", "memory, MB", "simplenet, ms a step", "jobs at hand"], finished())
    print()
    print_table(["minutes", "tabs opened", "open files", "memory, MB"], crowd())


def finished() -> Iterator[list[str]]:
    with conductor() as place:
        for number in range(1, FINISHED[-1] + 1):
            finish(place)
            if number in FINISHED:
                memory = resident(os.getpid())
                job = under_way(place.submit("simplenet", changed("simplenet")))
                step = trained(job, SECONDS)
                job.stop()
                job.wait_saved()
                yield [str(number), f"{memory / 1e6:,.0f}", f"{step * 1e3:.3f}", str(len(place.jobs))]


def changed(name: str) -> Recipe:
    return RECIPES[name].recipe.model_copy(update={"epochs": ENDLESS})


def finish(place: Conductor) -> None:
    """A run from its start to its end, whose files then make room."""
    job = place.submit("large", LARGE)
    job.wait()
    job.wait_saved()
    for kept in place.store.checkpoints(job.number):
        kept.file.unlink()


def crowd() -> Iterator[list[str]]:
    with dashboard() as (url, _, process), launched() as browser:
        begin(browser, url, changed("simplenet"))
        start, opened, pages = time.monotonic(), 0, []
        for minutes in range(EVERY, MINUTES + 1, EVERY):
            while time.monotonic() < start + minutes * 60:
                if len(pages) == TABS:
                    pages.pop(0).context.close()
                pages.append(new_page(browser))
                visit(pages[-1], url)
                drawn(pages[-1], "live-loss")
                opened += 1
            files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))  # known on Linux only
            yield [str(minutes), str(opened), str(files), f"{resident(process.pid) / 1e6:,.0f}"]
