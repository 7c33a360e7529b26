"""The Draw page in a browser: a network that learns reads what is drawn, while the pen is down."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.helpers import LONG, ONE, SEVEN, ZERO, answer, draw, press, settled, visit
from tests.browser.serving import ROOT, serve

EMPTY = "The pad is empty"
SEEN = "The drawing as the network sees it"


@pytest.fixture(scope="module")
def trained(browser, server: str) -> str:
    """The server, with a run of `digits` on it that is over or under way: asked for once, as a person would."""
    context = browser.new_context()
    page = context.new_page()
    visit(page, f"{server}/draw")
    expect(page.get_by_text("No network can read your drawing yet")).to_be_visible()
    press(page, "Train digits")
    expect(page.get_by_label("Drawing pad")).to_be_visible()
    context.close()
    return server


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[str]:
    """A server that was just started, with a run that the command line made."""
    command = [sys.executable, "-m", "dlcore", "train", "digits", "--set", "epochs=2", "--name", "earlier"]
    environment = os.environ | {"DLCORE_RUNS": str(tmp_path / "runs")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    process, url = serve(tmp_path)
    yield url
    process.kill()
    process.wait()


def open_pad(page: Page, server: str) -> None:
    visit(page, f"{server}/draw")
    expect(page.get_by_label("Drawing pad")).to_be_visible()
    expect(page.get_by_text(EMPTY)).to_be_visible()


def clear(page: Page) -> None:
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text(EMPTY)).to_be_visible()


def ink(page: Page) -> int:
    """How many pixels of the pad are drawn on."""
    return page.get_by_label("Drawing pad").evaluate(
        """(pad) => pad.getContext("2d").getImageData(0, 0, pad.width, pad.height).data
            .filter((value, place) => place % 4 === 3 && value > 0).length"""
    )


def test_it_reads_while_the_pen_is_down_and_while_it_learns(page: Page, trained: str):
    open_pad(page, trained)
    draw(page, SEVEN, lift=False)
    expect(answer(page)).to_be_visible()  # from the empty pad to an answer, and the button is still down
    picture = page.get_by_alt_text(SEEN)
    before = picture.get_attribute("src")
    box = page.get_by_label("Drawing pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.9, steps=6)
    expect(picture).not_to_have_attribute("src", before)
    page.mouse.up()
    expect(page.locator(".st-key-prediction .bar")).to_have_count(10)


def test_undo_and_clear_empty_the_pad(page: Page, trained: str):
    open_pad(page, trained)
    undo = page.get_by_role("button", name="Undo", exact=True)
    draw(page, ONE)
    expect(answer(page)).to_be_visible()
    undo.click()
    expect(page.get_by_text(EMPTY)).to_be_visible()
    assert ink(page) == 0
    draw(page, ONE)
    draw(page, [(0.3, 0.5), (0.7, 0.5)])
    expect(answer(page)).to_be_visible()
    clear(page)
    undo.click()  # what Clear took away comes back
    expect(answer(page)).to_be_visible()
    assert ink(page) > 0


def test_the_picture_that_the_network_sees_is_shown(page: Page, trained: str):
    open_pad(page, trained)
    picture = page.get_by_alt_text(SEEN)
    empty = picture.get_attribute("src")
    draw(page, ZERO)
    expect(picture).not_to_have_attribute("src", empty)
    assert picture.evaluate("(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [
        28,
        28,
    ]


def test_a_drawing_survives_a_visit_to_another_page(page: Page, trained: str):
    open_pad(page, trained)
    draw(page, ONE)
    expect(answer(page)).to_be_visible()
    drawn = ink(page)
    page.get_by_role("link", name="Reference").click()
    expect(page.get_by_label("Drawing pad")).to_have_count(0)
    page.get_by_role("link", name="Draw").click()
    expect(answer(page)).to_be_visible()
    page.wait_for_function(
        "(pad) => pad.getContext('2d').getImageData(0, 0, pad.width, pad.height).data.some((value) => value > 0)",
        arg=page.get_by_label("Drawing pad").element_handle(),
    )
    assert ink(page) == pytest.approx(drawn, rel=0.02)


def test_an_empty_sidebar_takes_no_room(page: Page, trained: str):
    """Streamlit leaves that of the page before every now and then, and the pad would move when it goes."""
    open_pad(page, trained)
    page.evaluate("document.querySelector('.stApp').insertAdjacentHTML('beforeend', '<i data-testid=stSidebar>_</i>')")
    expect(page.get_by_text("_", exact=True)).to_be_hidden()
    page.evaluate("document.querySelector('i[data-testid=stSidebar]').innerHTML = '<b class=stElementContainer>_</b>'")
    expect(page.get_by_text("_", exact=True)).to_be_visible()


@pytest.mark.timeout(900)
def test_after_training_it_reads_drawn_digits(page: Page, trained: str):
    open_pad(page, trained)
    draw(page, ZERO)
    expect(page.locator(".st-key-prediction")).to_contain_text("finished", timeout=5 * LONG)
    expect(answer(page)).to_contain_text("0")
    for digit, strokes in (("1", ONE), ("7", SEVEN), ("0", ZERO)):
        clear(page)
        draw(page, strokes)
        expect(answer(page)).to_have_text(re.compile(rf"^\s*{digit}\s"))  # the share follows


@pytest.mark.timeout(300)
def test_a_run_that_another_process_made_answers_by_its_last_and_its_best_weights(page: Page, stored: str):
    open_pad(page, stored)
    prediction = page.locator(".st-key-prediction")
    expect(page.get_by_text("earlier · run 1", exact=True)).to_be_visible()
    draw(page, SEVEN)
    expect(prediction).to_contain_text("earlier · run 1 · finished")
    expect(prediction).to_contain_text("last, epoch 2 ·")
    page.get_by_role("radio", name="Best", exact=True).click()
    expect(prediction).to_contain_text("best, epoch 2 ·")
    expect(prediction.locator(".bar")).to_have_count(10)
    settled(page)
    draw(page, [(0.3, 0.5), (0.7, 0.5)], lift=False)  # it goes on while the pen is down
    picture = page.get_by_alt_text(SEEN)
    before = picture.get_attribute("src")
    box = page.get_by_label("Drawing pad").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.9, steps=6)
    expect(picture).not_to_have_attribute("src", before)
    page.mouse.up()
