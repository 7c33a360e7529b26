"""The network view in a browser, on a page of its own: it is stepped through, opened, and stays where it is."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.helpers import visit
from tests.browser.serving import ROOT, healthy
from tests.waiting import wait_until

PAGE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import dlcore.engine.conductor
import streamlit as st
from dlcore.recipes import RECIPES
from pages.parts.state.process import conductor
from pages.parts.views.network import show
from pages.parts.views.subject import Subject

def look():
    jobs = conductor().jobs
    show(Subject(jobs[0]) if jobs else None, recipe=recipe)
    st.caption(f"step {{jobs[0].history.steps if jobs else 0}}")

recipe = RECIPES["two-moons"].recipe.model_copy(update={{"epochs": 100000}})
if st.button("Train") and not conductor().jobs:
    conductor().submit("moons", recipe)
st.fragment(look, run_every=0.3)()
"""
CANVAS, WHICH = ".network canvas", ".network .which"
SHIFT = """new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.moved += one.value)))
    .observe({ type: "layout-shift" })"""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[str]:
    """A server of this one page."""
    (tmp_path / "page.py").write_text(PAGE)
    (tmp_path / "static").symlink_to(ROOT / "static")
    (tmp_path / ".streamlit").symlink_to(ROOT / ".streamlit")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "page.py", "--server.headless=true", f"--server.port={port}"]
    environment = os.environ | {"DLCORE_RUNS": str(tmp_path / "runs")}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: healthy(url))
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def view(alone: str, page: Page) -> Page:
    """The page, which goes before its server does: or it would complain of that."""
    visit(page, alone)
    expect(page.locator(CANVAS)).to_have_attribute("aria-label", re.compile("The network. Input: 2"))
    expect(page.locator(WHICH)).to_have_text("Sample 1 of 200")
    return page


def test_it_is_stepped_through_and_opened_by_keyboard_and_by_mouse(view: Page):
    canvas, told, opened = view.locator(CANVAS), view.locator(".network .told"), view.locator(".unit")
    label = canvas.get_attribute("aria-label")
    view.get_by_role("button", name="Next sample").click()
    expect(view.locator(WHICH)).to_have_text("Sample 2 of 200")
    expect(canvas).not_to_have_attribute("aria-label", label)  # the server answered
    canvas.focus()
    canvas.press("ArrowRight")
    canvas.press("ArrowRight")
    expect(told).to_contain_text("Dense, unit")
    canvas.press("Enter")
    expect(opened).to_contain_text("Dense, unit")
    canvas.press("Enter")
    expect(opened).to_have_count(0)
    box = canvas.bounding_box()
    for share in range(20, 80):
        view.mouse.move(box["x"] + box["width"] * share / 100, box["y"] + box["height"] * 0.3)
        if (
            canvas.evaluate("(canvas) => new Promise(requestAnimationFrame).then(() => canvas.style.cursor)")
            == "pointer"
        ):
            break
    unit = told.inner_text().split(":")[0]
    view.mouse.down()
    view.mouse.up()
    expect(opened).to_contain_text(unit)
    expect(view.locator(WHICH)).to_have_text("Sample 2 of 200")


def test_it_stays_where_it_is_while_it_learns(view: Page):
    canvas = view.locator(CANVAS)
    first, box = canvas.element_handle(), canvas.bounding_box()
    view.evaluate(f"window.moved = 0; {SHIFT}")
    view.get_by_role("button", name="Train").click()
    for _ in range(5):
        picture = canvas.evaluate("(canvas) => canvas.toDataURL()")
        view.wait_for_function("([canvas, was]) => canvas.toDataURL() !== was", arg=[first, picture])
    assert first.evaluate("(canvas) => canvas.isConnected")
    assert canvas.bounding_box() == box
    assert view.evaluate("window.moved") <= 0.01
