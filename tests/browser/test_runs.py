"""The Runs page in a browser: its table under the hand, runs that another process trains, and what can be undone."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from tests.browser.conftest import SUSPICIOUS
from tests.browser.helpers import beside_its_swatch, button, press, reaches, settled, visit
from tests.browser.serving import ROOT, serve

ROWS, FIRST = 30, 34  # the height of a row, and where the first one begins
NAME, BOX = 150, 16  # where a row is clicked
ENDLESS = "epochs=100000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs-page")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """A dashboard over runs that the command line trained: 1 short, 2 wide, 3 slow."""
    for name, change in (("short", "epochs=4"), ("wide", "model.widths=[32,32]"), ("slow", "optimizer.lr=0.0001")):
        changes = ["--set", "epochs=6", "--set", change]
        subprocess.run(command("two-moons", "--name", name, *changes), cwd=ROOT, env=place(folder), check=True)
    process, url = serve(folder)
    try:
        yield url
        process.terminate()
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    log = (folder / "server.log").read_text()
    assert not SUSPICIOUS.search(log), log


def place(folder: Path) -> dict[str, str]:
    return os.environ | {"DLCORE_DATA": str(folder / "data"), "DLCORE_RUNS": str(folder / "runs")}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dlcore", "train", *words]


@contextlib.contextmanager
def elsewhere(folder: Path, *words: str) -> Iterator[subprocess.Popen]:
    """A run that another process trains; killed at the end, if it has not been before."""
    process = subprocess.Popen(command(*words), cwd=ROOT, env=place(folder), stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def open_runs(page: Page, url: str, address: str = "") -> None:
    visit(page, f"{url}/runs{address}")
    expect(page.locator(".st-key-runs-table").get_by_test_id("stDataFrame")).to_be_visible()
    expect(detail(page)).to_be_visible()
    settled(page)


def detail(page: Page) -> Locator:
    return page.locator(".st-key-run-detail")


def shows(page: Page, text: str) -> None:
    expect(detail(page).locator("h3")).to_contain_text(text)


def row(page: Page, name: str) -> Locator:
    """A row of the table, which is a canvas with a table for those who cannot see it."""
    cell = page.locator("[role=gridcell]", has_text=re.compile(f"^{re.escape(name)}$"))
    return page.locator(".st-key-runs-table [role=row]").filter(has=cell)


def names(page: Page) -> list[str]:
    """In the order of the table."""
    return page.locator('[data-testid^="glide-cell-2-"]').all_inner_texts()


def cell(page: Page, name: str, column: int) -> str:
    return row(page, name).locator("[role=gridcell]").nth(column).inner_text()


def click(page: Page, name: str, x: int) -> None:
    """Click in a row, at a distance from the table's left edge. What tells its place comes later than the canvas, by a
    fifth of a second or more: it must have as many rows as the line above says.
    """
    expect(row(page, name)).to_have_count(1)
    table = page.locator(".st-key-runs-table").get_by_test_id("stDataFrame")
    shown = page.locator(".st-key-runs-table").get_by_text("on disk").inner_text().split()[0]
    expect(table.locator("[role=grid]")).to_have_attribute("aria-rowcount", str(int(shown) + 1))
    table.scroll_into_view_if_needed()
    box, number = table.bounding_box(), int(row(page, name).get_attribute("aria-rowindex")) - 2
    page.mouse.click(box["x"] + x, box["y"] + FIRST + ROWS * (number + 0.5))


def selected(page: Page, *wanted: str) -> None:
    marked = page.locator(".st-key-runs-table [role=row][aria-selected=true]")
    expect(marked).to_have_count(len(wanted))
    for name in wanted:
        expect(row(page, name)).to_have_attribute("aria-selected", "true")


def lines(page: Page, chart: str) -> list[str]:
    """What the legend of a chart of several runs says."""
    shown = "({ data }) => data.filter(({ showlegend }) => showlegend !== false).map(({ name }) => name)"
    return page.locator(f".st-key-{chart} .js-plotly-plot").evaluate(shown)


def test_the_page_can_be_the_first_that_a_server_is_asked_for(page: Page, url: str):
    open_runs(page, url, "?run=1")
    shows(page, "short")
    selected(page, "short")
    expect(page.locator(".st-key-run-loss .main-svg").first).to_be_visible()
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_a_click_shows_a_run_and_back_leads_to_the_one_before(page: Page, url: str):
    open_runs(page, url)
    expect(row(page, "short")).to_have_count(1)
    assert [name for name in names(page) if name in ("slow", "wide", "short")] == ["slow", "wide", "short"]
    shows(page, "slow")  # the newest
    assert "run=" not in page.url
    click(page, "short", NAME)
    shows(page, "short")
    expect(page).to_have_url(re.compile(r"\?run=1$"))
    selected(page, "short")
    page.keyboard.press("ArrowUp")
    shows(page, "wide")
    page.go_back()
    shows(page, "short")
    selected(page, "short")
    page.reload()
    shows(page, "short")


def test_boxes_lay_runs_over_each_other_and_tell_in_what_they_differ(page: Page, url: str):
    open_runs(page, url)
    click(page, "wide", NAME)
    shows(page, "wide")
    click(page, "slow", BOX)
    expect(detail(page)).to_contain_text("2 runs over the")
    expect(page).to_have_url(re.compile(r"\?run=3&run=2$"))
    for chart in ("overlay-loss", "overlay-accuracy"):
        page.locator(f".st-key-{chart} .main-svg").first.wait_for()
    assert lines(page, "overlay-loss") == lines(page, "overlay-accuracy") == ["slow · run 3", "wide · run 2"]
    table = detail(page).get_by_role("table")
    expect(table.get_by_role("row").filter(has_text="Architecture: widths")).to_contain_text("32, 32")
    expect(table.get_by_role("row").filter(has_text="learning rate")).to_contain_text("0.0001")
    expect(table.get_by_role("row")).to_have_count(3)
    for x, unit in (("epoch", r"\d epochs$"), ("time", r"\d s$")):
        page.get_by_role("radio", name=x, exact=True).click()
        expect(page.locator(".st-key-overlay-loss .xtick").last).to_have_text(re.compile(unit))
    click(page, "slow", BOX)
    shows(page, "wide")
    selected(page, "wide")


@pytest.mark.timeout(600)
def test_a_run_of_another_process_moves_and_what_the_person_did_stays(page: Page, url: str, folder: Path):
    open_runs(page, url)
    with elsewhere(folder, "simplenet", "--name", "far away", "--set", ENDLESS) as process:
        wait_listed(page, "far away")
        shows(page, "far away")
        reaches_here(page, "training")
        for _ in range(2):  # the detail ticks
            expect(detail(page)).not_to_contain_text(f"step {step_here(page)} of")
        click(page, "wide", NAME)
        shows(page, "wide")
        table = page.locator(".st-key-runs-table").get_by_test_id("stDataFrame").bounding_box()
        page.mouse.click(table["x"] + NAME, table["y"] + FIRST / 2)  # sorts by name
        expect(page.locator('[data-testid="glide-cell-2-0"]')).to_have_text("far away")
        asked = page.get_by_role("searchbox", name="Search")
        asked.fill("w")  # far away, wide, slow
        expect(row(page, "short")).to_have_count(0)
        asked.press_sequentially("i")
        expect(row(page, "far away")).to_have_count(0)
        asked.fill("a")
        for _ in range(2):  # the table ticks
            expect(row(page, "far away").locator("[role=gridcell]").nth(3)).not_to_have_text(cell(page, "far away", 3))
        expect(asked).to_have_value("a")
        assert names(page) == sorted(names(page))
        selected(page, "wide")
        shows(page, "wide")

        process.kill()
        expect(row(page, "far away").locator("[role=gridcell]").nth(2)).to_have_text("interrupted")
        asked.fill("")
        click(page, "far away", NAME)
        shows(page, "far away")
    reaches_here(page, "interrupted")
    press(page, "Resume")
    expect(button(page, "Start")).to_be_visible()
    reaches(page, "training")
    assert page.locator(".st-key-status").inner_text().count("epoch")
    press(page, "Stop")
    reaches(page, "stopped")


def wait_listed(page: Page, name: str) -> None:
    """An idle page does not look for new runs, so that the person does, by loading it again."""
    for _ in range(60):
        settled(page)
        if row(page, name).count():
            return
        page.wait_for_timeout(500)
        page.reload()
        expect(page.locator(".st-key-runs-table").get_by_test_id("stDataFrame")).to_be_visible()
    raise AssertionError(f"{name} was never listed")


def reaches_here(page: Page, word: str) -> None:
    expect(detail(page).locator(".stProgress")).to_contain_text(word)


def step_here(page: Page) -> int:
    """The step that the detail tells, once it tells one."""
    found = "document.querySelector('.st-key-run-detail')?.innerText.match(/step (\\d+) of/)?.[1]"
    return int(page.wait_for_function(found).json_value())


def test_a_deleted_run_can_be_brought_back(page: Page, url: str):
    open_runs(page, url, "?run=2")
    shows(page, "wide")
    press(page, "Delete")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("wide (run 2)")
    dialog.get_by_role("button", name="Keep it", exact=True).click()
    expect(dialog).to_have_count(0)
    press(page, "Delete")
    dialog.get_by_role("button", name="Delete it", exact=True).click()
    expect(detail(page)).to_contain_text("Deleted wide (run 2).")
    expect(row(page, "wide")).to_have_count(0)
    press(page, "Undo")
    shows(page, "wide")
    selected(page, "wide")
    expect(button(page, "Undo")).to_have_count(0)

    press(page, "Delete")
    dialog.get_by_role("button", name="Delete it", exact=True).click()
    expect(detail(page)).to_contain_text("Deleted wide (run 2).")
    settled(page)
    page.get_by_text("Deleted runs: 1").click()
    press(page, "Bring back run 2")
    shows(page, "wide")
    expect(button(page, "Undo")).to_have_count(0)


def test_one_run_is_shown_though_the_browser_never_hears_that_the_page_is_whole(page: Page, url: str):
    """Streamlit does not say so when something is asked for just then, such as by a table; and the browser, which then
    would remove what is left of the page before, does not.
    """
    lost = []

    def pass_on(browser: WebSocketRoute) -> None:
        server = browser.connect_to_server()

        def from_server(message: bytes) -> None:
            ended = ForwardMsg.FromString(message).WhichOneof("type") == "script_finished"
            if lost and ended:
                lost.append(message)
            else:
                browser.send(message)

        server.on_message(from_server)

    page.route_web_socket(re.compile("/_stcore/stream"), pass_on)
    open_runs(page, url, "?run=2")
    press(page, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Delete it", exact=True).click()
    expect(detail(page)).to_contain_text("Deleted wide (run 2).")
    settled(page)
    lost.append(b"from here on")
    press(page, "Undo")
    shows(page, "wide")
    expect(detail(page).get_by_role("textbox", name="Name", exact=True)).to_have_value("wide")  # there is but one
    expect(detail(page).locator(".facts")).to_have_count(1)
    expect(button(page, "Undo")).to_have_count(0)
    expect(detail(page).locator(".stProgress")).to_have_count(1)
    click(page, "slow", BOX)
    expect(detail(page)).to_contain_text("2 runs over the")
    expect(page.locator(".st-key-overlay-loss")).to_have_count(1)
    for gone in (".facts", ".st-key-run-loss", ".stProgress", "h3"):
        expect(detail(page).locator(gone)).to_have_count(0)
    click(page, "short", NAME)
    shows(page, "short")
    expect(detail(page).locator(".facts")).to_have_count(1)
    for gone in (".st-key-overlay-loss", "table"):
        expect(detail(page).locator(gone)).to_have_count(0)
    assert len(lost) > 1


def test_the_longest_name_wraps_beside_its_swatch(page: Page, url: str):
    open_runs(page, url, "?run=3")
    field = detail(page).get_by_role("textbox", name="Name", exact=True)
    before = field.input_value()
    field.fill("W" * 100)
    field.press("Tab")
    shows(page, "W" * 100)
    assert beside_its_swatch(detail(page).locator("h3"))
    field.fill(before)
    field.press("Tab")
    shows(page, before)


def test_a_run_gets_a_name_and_tags(page: Page, url: str):
    open_runs(page, url, "?run=3")
    field = detail(page).get_by_role("textbox", name="Name", exact=True)
    field.fill("a/b <i>c</i>")
    field.press("Tab")
    shows(page, "a/b <i>c</i>")
    expect(row(page, "a/b <i>c</i>")).to_have_count(1)
    field.fill("x" * 200)
    field.press("Tab")
    expect(page.get_by_test_id("stAlert")).to_contain_text("one line of 1 to 100 letters")
    field.fill("slow")
    field.press("Tab")
    shows(page, "slow")
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    tags = detail(page).get_by_role("combobox", name="Tags")
    tags.click()
    tags.press_sequentially("sweep")
    page.get_by_role("option", name="Add: sweep").click()
    expect(detail(page).get_by_text("sweep", exact=True)).to_be_visible()
    settled(page)
    open_runs(page, url)
    page.locator(".st-key-runs-tags").get_by_role("combobox").click()
    page.get_by_role("option", name="sweep", exact=True).click()
    expect(row(page, "short")).to_have_count(0)
    expect(row(page, "slow")).to_have_count(1)
