"""What it costs to be watched: steps per second with viewers over those without.

The real dashboard, its Train page and an endless run; viewers come and go by turns. A tab is a Chromium window on the
same machine; a reader asks for the same page and the same ticks, and draws nothing: the difference is the browser's own
rendering. To reach: 0.95 with a tab, 0.98 with a reader, 0.90 with three tabs.
"""

import contextlib
import time
from collections.abc import Callable
from functools import partial

from benchmarks.measuring import ENDLESS, in_turns, print_table, spread
from benchmarks.viewing import begin, dashboard, readers, tabs
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from tests.browser.chromium import launched

NAMES = ("simplenet", "mnist-cnn")
ROUNDS, SECONDS = 7, 10.0
REST = 5.0  # seconds in which the runs' numbers of the arm before leave the store, and a page comes to rest


def run() -> None:
    rows = []
    for name in NAMES:
        recipe = RECIPES[name].recipe.model_copy(update={"epochs": ENDLESS})
        with dashboard() as (url, runs, _), launched() as browser:
            begin(browser, url, recipe)
            store = Store(runs)
            arms = {"nobody": contextlib.nullcontext}
            arms |= {f"{count} reader{'s' * (count > 1)}": partial(readers, url, count) for count in (1, 3)}
            arms |= {f"{count} tab{'s' * (count > 1)}": partial(tabs, browser, url, count) for count in (1, 3)}
            found = in_turns({arm: partial(speed, store, viewers) for arm, viewers in arms.items()}, ROUNDS)
        watched = [found[arm] / found["nobody"] for arm in arms if arm != "nobody"]
        rows.append([name, spread(found["nobody"]), *map(spread, watched)])
    print_table(["recipe", "steps/s, nobody", *(arm for arm in arms if arm != "nobody")], rows)


def speed(store: Store, viewers: Callable[[], contextlib.AbstractContextManager]) -> float:
    """Steps per second while they look, by the run's own clock, as the dashboard saves it."""
    with viewers():
        time.sleep(REST)
        before = store.rows()[0]
        time.sleep(SECONDS)
        after = store.rows()[0]
    return (after["step"] - before["step"]) / (after["elapsed"] - before["elapsed"])
