"""Fixtures of the browser tests: the real server, a real Chromium, and a page that tolerates no error.

`server` is a URL; `page` is a Playwright page: `page.goto(server)`.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.browser.chromium import find
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
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
    path = find()
    if path is None:
        pytest.fail(f"there is no Chromium: {sys.executable} tests/browser/chromium.py installs one")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


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
        process.wait(timeout=20)
    finally:
        process.kill()
        process.wait()
    log = (folder / "server.log").read_text()
    if SUSPICIOUS.search(log):
        pytest.fail(f"the server complained:\n{log}", pytrace=False)


def serve(folder: Path) -> tuple[subprocess.Popen, str]:
    """Start a dashboard whose data, runs and log are in a folder; wait until it answers, and give its URL."""
    log = folder / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "streamlit", "run", ROOT / "dashboard.py", "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}", "--logger.enableRich=false"]
    environment = os.environ | {"DLCORE_DATA": str(folder / "data"), "DLCORE_RUNS": str(folder / "runs")}
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: process.poll() is not None or healthy(url), timeout=60)
    except BaseException:
        process.kill()
        raise
    if process.poll() is not None:
        pytest.fail(f"the server ended with {process.returncode}:\n{log.read_text()}", pytrace=False)
    return process, url


def healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/_stcore/health", timeout=1) as answer:
            return answer.status == 200
    except (URLError, TimeoutError, ConnectionError):
        return False
