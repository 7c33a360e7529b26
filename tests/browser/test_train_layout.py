"""How the Train page looks: in view, legible, and nothing jumps."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.helpers import (
    PLOT,
    button,
    open_train,
    press,
    reaches,
    set_number,
    set_pace,
    settled,
    start,
    status,
    visit,
    wait_for_steps,
)
from tests.browser.training import ENDLESS, WATCH, train, watched


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_themes(page: Page, server: str, scheme: str):
    page.emulate_media(color_scheme=scheme)
    open_train(page, server)
    ground, words, chart = page.evaluate(
        """(plot) => {
            const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
            const light = (colour) => { // whatever form the colour is written in
                paint.fillStyle = colour;
                paint.fillRect(0, 0, 1, 1);
                return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3).reduce((sum, part) => sum + part) / 765;
            };
            const style = (selector) => getComputedStyle(document.querySelector(selector));
            return [light(style("[data-testid=stApp]").backgroundColor), light(style(".st-key-status p").color),
                    light(style(".st-key-live-loss .live-chart-tools span").color)];
        }""",
        PLOT["live-loss"],
    )
    assert (ground > 0.9) if scheme == "light" else (ground < 0.15)
    assert abs(words - ground) > 0.5
    assert abs(chart - ground) > 0.5


@pytest.mark.parametrize("size", [(1280, 800), (768, 1024)], ids=["1280", "768"])
def test_no_page_scrolls_sideways(page: Page, server: str, size: tuple[int, int]):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for path, landmark in (
        ("/", ".st-key-live-loss .main-svg"),
        ("/compare", ".st-key-race-loss .main-svg"),
        ("/draw", "[data-testid=stApp]"),
        ("/reference", "table"),
    ):
        visit(page, server + path)
        expect(page.locator(landmark).first).to_be_visible()
        settled(page)
        assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"), path


def test_buttons_status_and_charts_are_in_view_at_1280_by_800(page: Page, server: str):
    open_train(page, server)
    for part in (button(page, "Start"), status(page), page.locator(PLOT["live-loss"])):
        box = part.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 800


# Nothing jumps


def scroll(page: Page, to: int) -> None:
    page.get_by_test_id("stMain").evaluate("(main, to) => { main.scrollTop = to; }", to)


def test_a_page_that_is_scrolled_stays_where_it_is(page: Page, server: str):
    train(page, server, epochs=2)
    reaches(page, "finished")
    top = "() => document.querySelector('[data-testid=stMain]').scrollTop"
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    for name in ("Classes", "Each epoch", "Classes", "Each epoch"):
        scroll(page, 200)
        page.evaluate(WATCH, top)
        page.get_by_role("tab", name=name).click()
        shown = page.locator(".js-plotly-plot .heatmaplayer") if name == "Classes" else button(page, "Download CSV")
        expect(shown.first).to_be_visible()
        settled(page)
        assert watched(page) == [200], name
    scroll(page, 60)
    page.evaluate(WATCH, top)
    before = status(page).inner_text()
    press(page, "Start")
    expect(status(page)).not_to_have_text(before)
    reaches(page, "finished")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    assert watched(page) == [60]


def test_the_bar_of_a_new_run_begins_where_the_run_does(page: Page, server: str):
    train(page, server, epochs=1)
    reaches(page, "finished")
    set_number(page, "Epochs", ENDLESS)
    set_pace(page, "20 steps/s")
    page.evaluate(
        WATCH,
        """() => {
            const track = document.querySelector('.st-key-status [data-testid=stProgressBarTrack]');
            if (!track?.firstChild) return ["nothing", 0];  // as while it is replaced
            const [whole, done] = [track, track.firstChild].map((part) => part.getBoundingClientRect());
            const word = document.querySelector('.st-key-status').innerText.split(' ')[0];
            return [word, Math.round(100 * (done.right - whole.left) / whole.width)];
        }""",
    )
    start(page, "live-loss")
    reaches(page, "training")
    wait_for_steps(page, "live-loss", 10)
    found = watched(page)
    assert found[0] == ["finished", 100]
    assert max(share for word, share in found if word == "training") <= 1
    press(page, "Stop")
    reaches(page, "stopped")


def test_what_is_queued_moves_nothing_and_waits(page: Page, server: str):
    train(page, server, recipe="two-moons", pace="20 steps/s")
    wait_for_steps(page, "live-loss", 2)
    box = page.locator(PLOT["live-loss"]).bounding_box()
    page.evaluate(WATCH, "() => document.querySelector('.st-key-live-loss')?.getBoundingClientRect().y ?? null")
    press(page, "Queue")
    runs = page.locator(".st-key-under-way").get_by_role("radio")
    expect(runs).to_have_count(2)
    wait_for_steps(page, "live-loss", 5)
    assert len(watched(page)) == 1
    assert page.locator(PLOT["live-loss"]).bounding_box() == box
    runs.last.click()
    reaches(page, "queued")
    runs.first.click()
    reaches(page, "training")
    press(page, "Stop")
    reaches(page, "training")  # the other one, whose turn has come
    expect(runs).to_have_count(1)
    expect(page.locator(".st-key-pace").get_by_text("20 steps/s", exact=True).first).to_be_visible()
    page.reload()
    reaches(page, "training")
    expect(page.locator(".st-key-pace").get_by_text("20 steps/s", exact=True).first).to_be_visible()
    press(page, "Stop")
    reaches(page, "stopped")
