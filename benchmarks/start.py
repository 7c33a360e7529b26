"""How long one waits for a page, in seconds.

From `streamlit run` to a Train page that can be used, and each page's first and next visit by the links on top. In a
real Chromium on the same machine, that was started before and knows nothing of the dashboard. A page is there when
its last part is drawn and the server rests. To reach: 4 s, and 0.5 s.
"""

import time
from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from benchmarks.measuring import print_table, spread
from benchmarks.viewing import dashboard, new_page
from tests.browser.chromium import launched
from tests.browser.helpers import button, drawn, settled, visit

ROUNDS = 5
PAGES: dict[str, Callable[[Page], None]] = {
    "Compare": lambda page: drawn(page, "race-loss"),
    "Draw": lambda page: expect(button(page, "Train digits")).to_be_visible(),
    "Runs": lambda page: expect(page.get_by_text("No run is kept yet")).to_be_visible(),
    "Reference": lambda page: expect(page.get_by_text("Pass or fail")).to_be_visible(),
    "Train": lambda page: drawn(page, "live-loss"),
}


def run() -> None:
    began, visits = [], {name: ([], []) for name in PAGES}
    with launched() as browser:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            with dashboard() as (url, *_):
                page = opened(browser, url)
                began.append(time.perf_counter() - start)
                for times in range(2):
                    for name, there in PAGES.items():
                        start = time.perf_counter()
                        page.get_by_role("link", name=name, exact=True).click()
                        there(page)
                        settled(page)
                        visits[name][times].append(time.perf_counter() - start)
                page.context.close()
    print_table(["from the command to the Train page, s"], [[spread(began)]])
    print()
    print_table(
        ["page", "first visit, s", "next visit, s"], [[name, *map(spread, took)] for name, took in visits.items()]
    )


def opened(browser: Browser, url: str) -> Page:
    page = new_page(browser)
    visit(page, url)
    drawn(page, "live-loss")
    expect(button(page, "Start")).to_be_enabled()
    return page
