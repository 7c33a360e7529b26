"""How long an answer takes on the Draw page: milliseconds from the pen's movement to other bars on the screen.

In a real Chromium on the same machine, with the pen down and strokes across the pad: one that answers while nothing
trains, mnist-cnn that answers while it trains, and four that answer while nothing trains. To reach, 95th percentile:
150, 250 and 300 ms.
"""

import contextlib
import random

import numpy as np
from playwright.sync_api import Page, TimeoutError, expect

from benchmarks.measuring import ENDLESS, conductor, print_table
from benchmarks.viewing import begin, dashboard, new_page
from dlcore.recipe import change
from dlcore.recipes import RECIPES
from tests.browser.chromium import launched
from tests.browser.helpers import settled, visit

MOVES = 60
# Notes when the pen moves, and when a frame is on the screen with the picture that the network then sees and with other
# bars than before: while a network trains, bars change without the pen, too.
CLOCK = """(pad) => {
    const look = () => [
        document.querySelector("[alt='The drawing as the network sees it']")?.src,
        document.querySelector(".st-key-prediction")?.innerText,
    ];
    let moved = null, picture = null, bars = null, waiting = false;
    window.arm = () => { [picture, bars] = look(); moved = window.took = null; waiting = true; };
    pad.addEventListener("pointermove", (event) => { if (waiting) moved ??= event.timeStamp; }, true);
    new MutationObserver(() => {
        if (!waiting || moved === null) return;
        const [seen, shown] = look();
        if (seen === picture) { bars = shown; return; }
        if (shown === bars) return;
        waiting = false;
        requestAnimationFrame(() => setTimeout(() => { window.took = performance.now() - moved; }));
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def run() -> None:
    with dashboard() as (url, runs, _), launched() as browser:
        with conductor(runs) as place:
            recipe = RECIPES["digits"].recipe.model_copy(update={"epochs": 1})
            for job in [place.submit(f"digits {seed}", change(recipe, {"seed": seed})) for seed in range(4)]:
                job.wait()
        page, rows = new_page(browser), []
        visit(page, f"{url}/draw")
        rows.append(["idle", *measure(page)])
        for called in ("digits 2 · run 3", "digits 1 · run 2", "digits 0 · run 1"):
            add(page, called)
        rows.append(["four answer", *measure(page)])
        begin(browser, url, change(RECIPES["mnist-cnn"].recipe, {"epochs": ENDLESS}))
        page = new_page(browser)  # which has chosen nobody yet
        visit(page, f"{url}/draw")
        rows.insert(1, ["mnist-cnn trains and answers", *measure(page)])
    print_table(["", "median", "95th percentile", "movements"], rows)


def measure(page: Page) -> list[str]:
    """Milliseconds of movements that changed the answer; one that changed nothing to be seen is made again."""
    pad = page.get_by_label("Drawing pad")
    expect(pad).to_be_visible()
    settled(page)
    page.evaluate(CLOCK, pad.element_handle())
    box, draw, took = pad.bounding_box(), random.Random(0), []
    while len(took) < MOVES:
        if len(took) % 10 == 0:
            page.mouse.up()
            page.get_by_role("button", name="Clear", exact=True).click()
            expect(page.get_by_text("The pad is empty")).to_be_visible()
            page.mouse.move(*somewhere(box, draw))
            page.mouse.down()
        page.wait_for_timeout(draw.uniform(300, 500))  # as a person pauses: at no certain moment of a tick
        page.evaluate("window.arm()")
        page.mouse.move(*somewhere(box, draw))
        with contextlib.suppress(TimeoutError):
            took.append(page.wait_for_function("window.took", timeout=2000).json_value())
    page.mouse.up()
    return [f"{np.quantile(took, share):.0f}" for share in (0.5, 0.95)] + [str(len(took))]


def somewhere(box: dict, draw: random.Random) -> tuple[float, float]:
    return (
        box["x"] + box["width"] * draw.uniform(0.15, 0.85),
        box["y"] + box["height"] * draw.uniform(0.15, 0.85),
    )


def add(page: Page, called: str) -> None:
    """One more run that answers."""
    page.get_by_role("combobox", name="Runs", exact=True).click()
    page.get_by_role("option", name=called, exact=True).click()
    page.keyboard.press("Escape")
    expect(page.locator(".st-key-prediction")).to_be_visible()
    settled(page)
