"""Viewing: a dashboard of its own for a benchmark, and those who look at it."""

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, Page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from dlcore.recipe import Recipe
from dlcore.sharing import to_query
from tests.browser.helpers import drawn, press, reaches, set_pace, settled, visit
from tests.browser.serving import ROOT, serve


class Dashboard(NamedTuple):
    """One that runs in a process of its own."""

    url: str
    runs: Path  # where it keeps them
    process: subprocess.Popen


@contextlib.contextmanager
def dashboard(root: Path = ROOT) -> Iterator[Dashboard]:
    """Of the checkout at `root`."""
    with tempfile.TemporaryDirectory(prefix="dlcore-benchmark-", ignore_cleanup_errors=True) as folder:
        process, url = serve(Path(folder), root)
        try:
            yield Dashboard(url, Path(folder) / "runs", process)
        finally:
            process.kill()
            process.wait()


def new_page(browser: Browser) -> Page:
    return browser.new_context(viewport={"width": 1280, "height": 800}).new_page()


def link(recipe: Recipe) -> str:
    """The part of an address that opens the Train page with a recipe."""
    return f"/?{urlencode(to_query(recipe.model_dump(mode='json')))}"


def begin(browser: Browser, url: str, recipe: Recipe) -> None:
    """Start a run as a person does, and leave."""
    page = new_page(browser)
    visit(page, url + link(recipe))
    set_pace(page, "full speed")
    press(page, "Start")
    reaches(page, "training")
    page.context.close()


@contextlib.contextmanager
def tabs(browser: Browser, url: str, count: int) -> Iterator[None]:
    """So many tabs that show the Train page, each in a window of its own: one that is hidden would rest."""
    pages = [new_page(browser) for _ in range(count)]
    for page in pages:
        visit(page, url)
        drawn(page, "live-loss")
        settled(page)
    try:
        yield
    finally:
        for page in pages:
            page.context.close()


@contextlib.contextmanager
def readers(url: str, count: int) -> Iterator[list["Reader"]]:
    found = [Reader(url) for _ in range(count)]
    try:
        for reader in found:
            reader.start()
        for reader in found:
            reader.begun.wait(60)
        yield found
    finally:
        for reader in found:
            reader.close()


class Reader(threading.Thread):
    """Asks for the page and its ticks as a browser does, and throws away what comes: a viewer without a screen."""

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self._url = f"ws://{urlsplit(url).netloc}/_stcore/stream"
        self._closing = threading.Event()
        self.begun = threading.Event()
        self.ticks, self.bytes = 0, 0

    def close(self) -> None:
        self._closing.set()
        self.join()

    def run(self) -> None:
        with connect(self._url, subprotocols=["streamlit"], max_size=None) as socket:
            ask = BackMsg()
            ask.rerun_script.query_string = ""
            socket.send(ask.SerializeToString())
            ticking: dict[str, list[float]] = {}  # by fragment: seconds between two ticks, and when the next one is due
            while not self._closing.is_set():
                due = min((next_one for _, next_one in ticking.values()), default=time.monotonic() + 0.2)
                with contextlib.suppress(TimeoutError):
                    self._take(socket.recv(max(0.0, due - time.monotonic())), ticking)
                for fragment, times in ticking.items():
                    if times[1] <= time.monotonic():
                        times[1] = max(times[1] + times[0], time.monotonic())
                        ask = BackMsg()
                        ask.rerun_script.fragment_id, ask.rerun_script.is_auto_rerun = fragment, True
                        socket.send(ask.SerializeToString())

    def _take(self, sent: bytes, ticking: dict[str, list[float]]) -> None:
        message = ForwardMsg()
        message.ParseFromString(sent)
        self.bytes += len(sent)
        kind = message.WhichOneof("type")
        if kind == "auto_rerun":
            interval = message.auto_rerun.interval
            ticking[message.auto_rerun.fragment_id] = [interval, time.monotonic() + interval]
        elif kind == "stop_auto_rerun":
            for fragment in message.stop_auto_rerun.fragment_ids:
                ticking.pop(fragment, None)
        elif kind == "script_finished":
            self.ticks += 1
            self.begun.set()
