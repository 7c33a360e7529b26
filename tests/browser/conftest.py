"""Fixtures of the browser tests: the real server, a real Chromium, and a page that tolerates no error.

`server` is a URL; `page` is a Playwright page: `page.goto(server)`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.browser.chromium import launched
from tests.browser.serving import ROOT, serve

ARTIFACTS = ROOT / "test-artifacts"
SUSPICIOUS = re.compile(r"traceback|warning|deprecat", re.IGNORECASE)
# Opened at the address of a page, Streamlit first looks for its server below that address, and is told 404.
HARMLESS = re.compile(r"//[^/]+/[^/]+/_stcore/(health|host-config)$")

failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Last: they are the slowest, and Playwright leaves an event loop in the main thread until the end.
    items.sort(key=in_browser)
    for item in filter(in_browser, items):
        item.add_marker("browser")


def in_browser(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[failed] = item.stash.get(failed, False) or report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Yield a page; fail if it, or a tab beside it, logs an error or asks anything of another machine."""
    problems = []

    def note_console(line: ConsoleMessage) -> None:
        if line.type == "error" and not HARMLESS.search(line.location["url"]):
            problems.append(f"console: {line.text} ({line.location['url']})")

    def note_request(asked: Request) -> None:
        address = urlsplit(asked.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname != "127.0.0.1":
            problems.append(f"request to {asked.url}")

    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    context.on("console", note_console)
    context.on("weberror", lambda error: problems.append(f"uncaught: {error.error}"))
    context.on("request", note_request)
    page = context.new_page()
    yield page
    if problems or request.node.stash.get(failed, False):
        name = re.sub(r"\W+", "-", request.node.name).strip("-")
        page.screenshot(path=ARTIFACTS / f"{request.path.stem}-{name}.png")
    context.close()
    if problems:
        pytest.fail("the page had problems:\n" + "\n".join(problems), pytrace=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the running dashboard's URL; fail if its log complains or it does not stop when told to."""
    folder = tmp_path_factory.mktemp("server")
    process, url = serve(folder)
    try:
        yield url
        process.terminate()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    log = (folder / "server.log").read_text()
    if SUSPICIOUS.search(log):
        pytest.fail(f"the server complained:\n{log}", pytrace=False)
