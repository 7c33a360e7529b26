"""What it costs to see into a network, and how soon it is seen.

In a real Chromium on the same machine: steps per second with the network view on the Train page over the same page
without it; milliseconds from a movement of the film's slider to the last change of the page; and how far the page's
parts move by themselves in a minute of training (layout shift, as browsers measure it). To reach: 0.97; 300 ms (95th
percentile) up to 250,000 parameters, and 1 s for two million; 0.01.
"""

import contextlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, expect

from benchmarks.measuring import ENDLESS, conductor, in_turns, print_table, spread
from benchmarks.viewing import begin, dashboard, new_page, tabs
from benchmarks.watched import REST, speed
from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.optimizers import SGD
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from tests.browser.chromium import launched
from tests.browser.helpers import drawn, press, reaches, settled, visit
from tests.browser.serving import ROOT

NAMES = ("simplenet", "digits")
ROUNDS = 7
MOVES = 40
FILMED = {
    "two-moons": change(RECIPES["two-moons"].recipe, {"epochs": 20}),
    "digits": change(RECIPES["digits"].recipe, {"epochs": 6}),
    "simplenet": change(RECIPES["simplenet"].recipe, {"epochs": 6}),
    "mlp, 242,762": Recipe(model=MLP(widths=(256, 128, 64)), optimizer=SGD(lr=0.1), epochs=6),
    "mlp, 1,863,690": Recipe(model=MLP(widths=(1024, 1024)), optimizer=SGD(lr=0.1), epochs=6),
}
STILL = ("two-moons", "digits", "simplenet", "linear-regression", "row-lstm")
MINUTE = 60.0
NO_VIEW = """

def show(*arguments, **how) -> bool:
    return False
"""
# Notes when something of the page last changed: an element, its text, or what a canvas shows.
CLOCK = """() => {
    window.changed = 0;
    const note = () => { window.changed = performance.now(); };
    for (const name of ["clearRect", "putImageData", "drawImage"]) {
        const before = CanvasRenderingContext2D.prototype[name];
        CanvasRenderingContext2D.prototype[name] = function (...given) { note(); return before.apply(this, given); };
    }
    const main = document.querySelector("[data-testid=stMain]");
    new MutationObserver(note).observe(main, { subtree: true, childList: true, characterData: true });
    addEventListener("keydown", () => { window.moved = performance.now(); }, true);
}"""
SHIFT = """() => {
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: "layout-shift" });
}"""


def run() -> None:
    with launched() as browser:
        print_table(["recipe", "steps/s without the view", "with it"], [seen(browser, name) for name in NAMES])
        print()
        print_table(["network", "median, ms", "95th percentile, ms", "movements"], filmed(browser))
        print()
        print_table(["recipe", "layout shift in a minute"], [still(browser, name) for name in STILL])


def seen(browser: Browser, name: str) -> list[str]:
    """Steps per second with a tab on Train, by turns with the network view and without."""
    recipe = RECIPES[name].recipe.model_copy(update={"epochs": ENDLESS})

    def turn(root: Path) -> float:
        with dashboard(root) as (url, runs, _), contextlib.closing(Store(runs)) as store:
            begin(browser, url, recipe)
            return speed(store, partial(tabs, browser, url, 1))

    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-", ignore_cleanup_errors=True) as folder:
        without_view(Path(folder))
        found = in_turns({"with": lambda: turn(ROOT), "without": lambda: turn(Path(folder))}, ROUNDS)
    return [name, spread(found["without"]), spread(found["with"] / found["without"])]


def without_view(folder: Path) -> None:
    """Copy what a dashboard needs of this checkout, so that the network view draws nothing there."""
    for part in ("dashboard.py", "pages", "dlcore", "static", ".streamlit"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    with (folder / "pages" / "parts" / "views" / "network.py").open("a") as file:
        file.write(NO_VIEW)


def filmed(browser: Browser) -> Iterator[list[str]]:
    with dashboard() as (url, runs, _):
        with conductor(runs) as place:
            jobs = {name: place.submit(name.partition(",")[0], recipe) for name, recipe in FILMED.items()}
            for job in jobs.values():
                job.wait_saved()
        page = new_page(browser)
        for name, job in jobs.items():
            visit(page, f"{url}/inside?run={job.number}")
            expect(page.locator(".st-key-network-view canvas")).to_be_visible()
            settled(page)
            page.wait_for_timeout(REST * 1000)
            page.evaluate(CLOCK)
            took = [moved(page, random.Random(place)) for place in range(MOVES)]
            yield [name, *(f"{np.quantile(took, share):.0f}" for share in (0.5, 0.95)), str(MOVES)]
        page.context.close()


def moved(page: Page, draw: random.Random) -> float:
    """Milliseconds from a key on the film's slider to the last change of the page, after which it is at rest."""
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    at, last = slider.evaluate("(slider) => [Number(slider.value), Number(slider.max)]")
    key = "ArrowLeft" if at == last else "ArrowRight" if at == 0 else draw.choice(["ArrowLeft", "ArrowRight"])
    slider.press(key)
    page.wait_for_function("window.changed > window.moved")
    page.wait_for_function("performance.now() - window.changed > 1000")
    return page.evaluate("window.changed - window.moved")


def still(browser: Browser, name: str) -> list[str]:
    """How far the page's parts move by themselves while a run trains."""
    with dashboard() as (url, *_):
        page = new_page(browser)
        begin(browser, url, RECIPES[name].recipe.model_copy(update={"epochs": ENDLESS * 10}))
        visit(page, url)
        drawn(page, "live-loss")
        settled(page)
        reaches(page, "training")
        page.wait_for_timeout(REST * 1000)
        page.evaluate(SHIFT)
        page.wait_for_timeout(MINUTE * 1000)
        found = page.evaluate("window.shift")
        press(page, "Stop")
        page.context.close()
    return [name, f"{found:.4f}"]
