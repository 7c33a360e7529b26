"""What outlives a moment: a change while a run trains, a branch, the queue, and a server that is killed."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.helpers import (
    PLOT,
    button,
    choose_recipe,
    drawn,
    open_train,
    press,
    reaches,
    set_pace,
    start,
    step,
    visit,
    wait_for_steps,
)
from tests.browser.serving import serve

ENDLESS = 100_000


def marks(page: Page) -> list[str]:
    """The words of the flags over the loss chart."""
    words = "(plot) => (document.querySelector(plot)?.layout?.annotations ?? []).map(({ hovertext }) => hovertext)"
    return page.evaluate(words, PLOT["live-loss"])


def marked(page: Page, text: str) -> None:
    flagged = "({ hovertext }) => hovertext.includes(text)"
    page.wait_for_function(
        f"([plot, text]) => document.querySelector(plot)?.layout?.annotations?.some({flagged})",
        arg=[PLOT["live-loss"], text],
    )
    expect(page.locator(".st-key-changes")).to_contain_text(text)


def under_way(page: Page) -> Locator:
    """The runs between which one can choose, while there are several."""
    return page.get_by_role("radiogroup", name="Under way").get_by_role("radio")


def test_a_change_while_a_run_trains_is_marked_and_another_tab_sees_it(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "mlp", ENDLESS)
    set_pace(page, "100 steps/s")
    start(page, "live-loss")
    wait_for_steps(page, "live-loss", 5)
    assert marks(page) == []
    button(page, "Steer").click()
    rate = page.get_by_test_id("stPopoverBody").get_by_role("slider", name="Learning rate")
    rate.press("ArrowRight")
    marked(page, "learning rate 0.02")
    page.keyboard.press("Escape")

    other = page.context.new_page()
    visit(other, server)
    marked(other, "learning rate 0.02")
    button(other, "Steer").click()
    epochs = other.get_by_test_id("stPopoverBody").get_by_role("spinbutton", name="Epochs")
    epochs.fill("700")
    epochs.press("Tab")
    reaches(page, "of 700")
    assert marks(page)[0] == "learning rate 0.02"  # the other tab's controls did not take it back
    press(page, "Stop")
    reaches(page, "stopped")


def test_queued_runs_wait_and_can_be_looked_at(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "simplenet", ENDLESS)
    start(page, "live-loss")
    reaches(page, "training")
    first = step(page)
    press(page, "Queue")
    expect(under_way(page)).to_have_count(2)
    page.wait_for_timeout(600)  # sooner, it would be a double click
    press(page, "Queue")
    expect(under_way(page)).to_have_count(3)
    assert step(page) >= first  # the page still shows the run that it showed
    under_way(page).nth(2).click()
    reaches(page, "queued")
    press(page, "Stop")
    expect(under_way(page)).to_have_count(2)
    reaches(page, "training")
    press(page, "Stop")
    expect(under_way(page)).to_have_count(1)  # the one that is left, whose turn has come
    reaches(page, "training")
    press(page, "Stop")
    reaches(page, "stopped")
    expect(button(page, "Start")).to_be_enabled()


@pytest.mark.timeout(600)
def test_a_killed_server_leaves_an_interrupted_run_that_goes_on_and_branches(page: Page, tmp_path: Path):
    process, url = serve(tmp_path)
    try:
        open_train(page, url)
        choose_recipe(page, "simplenet", 40)
        set_pace(page, "50 steps/s")
        start(page, "live-loss")
        reaches(page, re.compile(r"epoch ([3-9]|\d\d) of 40"))
        page.goto("about:blank")  # a page without its server complains
    finally:
        process.kill()
        process.wait()

    process, url = serve(tmp_path)
    try:
        visit(page, url)
        drawn(page, "live-loss")
        note = page.get_by_role("link", name=re.compile("was interrupted in epoch"))
        expect(note).to_be_in_viewport(ratio=1)
        places = (".st-key-buttons", ".st-key-status", ".st-key-live-loss")
        before = [page.locator(place).bounding_box() for place in places]
        press(page, "Step")
        expect(note).to_have_count(0)
        for place in places:
            expect(page.locator(place)).to_be_visible()
        assert [page.locator(place).bounding_box() for place in places] == before
        press(page, "Stop")
        note.click()
        detail = page.locator(".st-key-run-detail")
        expect(detail).to_contain_text("interrupted")
        detail.get_by_role("button", name="Resume", exact=True).click()
        reaches(page, "training")  # at the pace that it had
        reaches(page, re.compile(r"epoch ([3-9]|\d\d) of 40"))
        set_pace(page, "full speed")
        reaches(page, "finished")
        reaches(page, "step 2520 of 2520")

        page.get_by_role("link", name="Runs", exact=True).click()
        expect(detail).to_contain_text("finished")
        detail.get_by_role("button", name="Branch", exact=True).click()
        expect(page.get_by_text("Start makes a branch")).to_be_visible()
        press(page, "Start")
        marked(page, "branch of run 1")
        reaches(page, "finished")
        page.goto("about:blank")
        process.terminate()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    log = (tmp_path / "server.log").read_text()
    assert not re.search("traceback|warning|deprecat", log, re.IGNORECASE), log
