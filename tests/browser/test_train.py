"""The Train page in a browser: a run from Start to its CSV, and what a viewer did to a chart while it moves."""

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.helpers import (
    PLOT,
    button,
    choose,
    choose_recipe,
    drawn,
    has_points,
    open_train,
    press,
    reaches,
    set_number,
    set_pace,
    settled,
    start,
    status,
    step,
    visit,
    wait_for_steps,
)

ENDLESS = 100_000  # epochs: longer than any test looks


def train(page: Page, server: str, recipe: str = "simplenet", epochs: int = ENDLESS, pace: str = "full speed") -> None:
    open_train(page, server)
    choose_recipe(page, recipe, epochs)
    set_pace(page, pace)
    start(page, "live-loss")


def epochs(page: Page) -> Locator:
    return page.get_by_role("spinbutton", name="Epochs", exact=True)


def table_of(page: Page, folder: Path) -> tuple[str, list[dict]]:
    """The CSV's file name and rows."""
    with page.expect_download() as download:
        press(page, "Download CSV")
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    with file.open(newline="") as rows:
        return file.stem, list(csv.DictReader(rows))


def test_the_page_can_be_the_first_that_a_server_is_asked_for(page: Page, server: str):
    visit(page, f"{server}/train")
    drawn(page, "live-loss")
    for name in ("Train", "Compare", "Draw", "Reference"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button(page, "Start")).to_be_enabled()
    reaches(page, "ready")


def test_the_networks_layers_are_listed_when_someone_wants_to_see_them(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "mnist-cnn", 1)
    network = page.locator(".st-key-network")
    expect(network.get_by_text("Network: 1,199,882 parameters")).to_be_visible()
    expect(network.locator("tr")).to_have_count(0)
    network.locator("summary").click()
    expect(network.get_by_role("cell", name="64 × 24 × 24").first).to_be_visible()
    expect(network.get_by_role("cell", name="18,496")).to_be_visible()
    network.locator("summary").click()
    expect(network.get_by_role("cell", name="18,496")).to_be_hidden()


def test_a_run_streams_from_start_to_its_csv(page: Page, server: str, tmp_path: Path):
    train(page, server, epochs=3, pace="5 steps/s")
    reaches(page, "training")
    wait_for_steps(page, "live-loss", 5)
    wait_for_steps(page, "live-loss", 5)
    set_pace(page, "full speed")
    reaches(page, "finished")
    reaches(page, "epoch 3 of 3")
    reaches(page, "step 189 of 189")
    has_points(page, "live-loss", [3, 3])
    has_points(page, "live-accuracy", [3, 3])
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    expect(button(page, "Start")).to_be_enabled()
    name, rows = table_of(page, tmp_path)
    assert name.startswith("dlcore-")
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert all(0 < float(row["val_loss"]) < 3 and 0 <= float(row["val_accuracy"]) <= 1 for row in rows)


def test_zoom_and_hidden_lines_survive_new_data_in_the_same_chart(page: Page, server: str):
    train(page, server, pace="50 steps/s")
    wait_for_steps(page, "live-loss", 5)
    plot = page.locator(PLOT["live-loss"])
    element = plot.element_handle()
    element.evaluate("(plot) => { plot.mark = true; }")

    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=10)
    page.mouse.up()
    page.wait_for_function("(plot) => plot._fullLayout.xaxis.range[0] > 0", arg=element)
    zoom = element.evaluate("(plot) => [...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]")

    plot.locator(".legendtoggle").first.click()
    page.wait_for_function("(plot) => plot._fullData[0].visible === 'legendonly'", arg=element)

    for _ in range(3):
        wait_for_steps(page, "live-loss", 20)
    assert element.evaluate("(plot) => [...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]") == zoom
    assert element.evaluate("(plot) => plot._fullData.map(({ visible }) => visible)")[:2] == ["legendonly", True]
    assert element.evaluate("(plot, where) => plot.mark && plot === document.querySelector(where)", PLOT["live-loss"])
    press(page, "Stop")
    reaches(page, "stopped")


def test_pause_step_resume_and_stop(page: Page, server: str):
    train(page, server, pace="50 steps/s")
    wait_for_steps(page, "live-loss", 5)
    press(page, "Pause")
    reaches(page, "paused")
    expect(button(page, "Resume")).to_be_enabled()
    expect(button(page, "Pause")).to_be_disabled()
    settled(page)
    stood = step(page)

    for more in (1, 2, 3):  # a step too many or a run that went on would show
        press(page, "Step")
        reaches(page, f"step {stood + more} of")
        reaches(page, "paused")

    press(page, "Resume")
    reaches(page, "training")
    wait_for_steps(page, "live-loss", 10)
    assert step(page) > stood + 3
    press(page, "Stop")
    reaches(page, "stopped")
    expect(button(page, "Start")).to_be_enabled()
    expect(button(page, "Resume")).to_be_disabled()


def test_step_begins_a_run_with_its_first_step(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "simplenet", 2)
    press(page, "Step")
    reaches(page, "step 1 of 126")
    reaches(page, "paused")
    press(page, "Stop")
    reaches(page, "stopped")


def test_a_refresh_and_another_tab_find_the_run_again(page: Page, server: str):
    train(page, server, pace="20 steps/s")
    wait_for_steps(page, "live-loss", 5)
    before = step(page)
    page.reload()
    drawn(page, "live-loss")
    reaches(page, "training")
    assert step(page) >= before > 0
    expect(page.get_by_role("combobox", name="Recipe", exact=True)).to_have_value("simplenet")
    expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value(str(ENDLESS))
    wait_for_steps(page, "live-loss", 5)

    other = page.context.new_page()
    visit(other, server)
    drawn(other, "live-loss")
    reaches(other, "training")
    assert step(other) >= before
    press(other, "Stop")
    reaches(other, "stopped")
    reaches(page, "stopped")  # the first tab learns it by itself
    assert step(page) == step(other)


def test_a_double_click_starts_one_run(page: Page, server: str, tmp_path: Path):
    train(page, server, epochs=1)
    reaches(page, "finished")
    first = int(table_of(page, tmp_path)[0].rsplit("-", 1)[1])
    set_number(page, "Epochs", ENDLESS)
    settled(page)
    button(page, "Start").dblclick()
    reaches(page, "training")
    reaches(page, re.compile(r"epoch ([2-9]|\d\d)"))
    second = int(table_of(page, tmp_path)[0].rsplit("-", 1)[1])
    assert second == first + 1
    press(page, "Stop")
    reaches(page, "stopped")


def test_the_table_can_be_saved_while_it_grows_and_another_tab_looks_on(page: Page, server: str, tmp_path: Path):
    train(page, server)
    other = page.context.new_page()
    visit(other, server)
    drawn(other, "live-loss")
    page.bring_to_front()
    lengths = [len(table_of(page, tmp_path)[1]) for _ in range(8)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]
    reaches(page, "training")
    press(page, "Stop")
    reaches(page, "stopped")


def test_start_takes_what_was_typed_just_before(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "two-moons", 5)
    page.get_by_role("spinbutton", name="Epochs", exact=True).fill("7")
    press(page, "Start")  # the click itself makes the field give up its value
    reaches(page, "of 7")
    reaches(page, "finished")


def test_the_address_opens_the_same_controls_elsewhere(page: Page, server: str, browser: Browser):
    open_train(page, server)
    choose_recipe(page, "two-moons", 7)
    choose(page, "Optimizer", "RMSprop")
    page.wait_for_url(re.compile(r"optimizer=rmsprop"))
    context = browser.new_context()
    other = context.new_page()
    visit(other, page.url)
    for label, value in (("Recipe", "two-moons"), ("Data", "Two moons"), ("Optimizer", "RMSprop")):
        expect(other.get_by_role("combobox", name=label, exact=True)).to_have_value(value)
    expect(epochs(other)).to_have_value("7")
    drawn(other, "live-loss")
    assert other.url == page.url
    context.close()


@pytest.mark.parametrize("path", ["/", "/train"])
def test_a_link_lists_what_cannot_be_had_until_something_changes(page: Page, server: str, path: str):
    open_train(page, server, f"{path}?embed_options=light_theme&data=moons&epochs=0&seed=7&bogus=<b>1</b>")
    expect(page.get_by_role("combobox", name="Data", exact=True)).to_have_value("Two moons")
    told = page.get_by_test_id("stAlert").filter(has_text="This link asks for what cannot be had")
    expect(told).to_contain_text("epochs is 0; it takes a whole number from 1 to 100000; the nearest is 1.")
    expect(told).to_contain_text("bogus is not a setting")
    page.wait_for_url(re.compile(r"embed_options=light_theme&.*epochs=10&"))
    set_number(page, "Epochs", 8)
    expect(told).to_have_count(0)


def test_back_and_forward_move_the_controls(page: Page, server: str):
    open_train(page, server, "/?epochs=3")
    for name, number in (("linear-regression", 7), ("two-moons", 8)):
        choose_recipe(page, name, number)
        page.wait_for_url(re.compile(f"&epochs={number}&"))
    for go, recipe, shown in (
        (page.go_back, "two-moons", 50),
        (page.go_back, "linear-regression", 7),
        (page.go_back, "linear-regression", 1000),
        (page.go_forward, "linear-regression", 7),
        (page.go_forward, "two-moons", 50),
    ):
        go()
        expect(page.get_by_role("combobox", name="Recipe", exact=True)).to_have_value(recipe)
        expect(epochs(page)).to_have_value(str(shown))
        page.wait_for_url(re.compile(f"&epochs={shown}&"))
    set_number(page, "Epochs", 9)
    page.wait_for_url(re.compile("&epochs=9&"))
    page.get_by_role("link", name="Reference").click()
    expect(page.locator("table").first).to_be_visible()
    page.go_back()
    drawn(page, "live-loss")
    expect(epochs(page)).to_have_value("9")
    page.wait_for_url(re.compile("&epochs=9&"))


def test_a_run_leaves_the_address_alone_and_back_leaves_the_run_alone(page: Page, server: str):
    train(page, server, pace="50 steps/s")
    settled(page)
    length, address = page.evaluate("history.length"), page.url
    wait_for_steps(page, "live-loss", 50)
    assert (page.evaluate("history.length"), page.url) == (length, address)
    page.go_back()
    page.wait_for_function("(address) => location.href !== address", arg=address)
    wait_for_steps(page, "live-loss", 20)
    reaches(page, "training")
    press(page, "Stop")
    reaches(page, "stopped")


def test_a_run_that_diverges_says_what_to_do(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "linear-regression", ENDLESS)
    page.get_by_role("slider", name="Learning rate").press("End")
    settled(page)
    start(page, "live-loss")
    reaches(page, "failed")
    expect(page.get_by_test_id("stAlert").filter(has_text="smaller learning rate")).to_be_visible()
    expect(button(page, "Start")).to_be_enabled()


def test_what_cannot_train_is_told_and_cannot_be_started(page: Page, server: str):
    open_train(page, server)
    choose(page, "Recipe", "two-moons")
    settled(page)
    choose(page, "Architecture", "Convolutional")
    expect(page.get_by_test_id("stAlert").filter(has_text="needs pictures")).to_be_visible()
    expect(button(page, "Start")).to_be_disabled()
    expect(button(page, "Step")).to_be_disabled()
    choose(page, "Architecture", "Linear")
    settled(page)
    expect(button(page, "Start")).to_be_enabled()
    set_number(page, "Epochs", 0)
    expect(page.get_by_test_id("stAlert").filter(has_text="the nearest is 1")).to_be_visible()
    expect(button(page, "Start")).to_be_disabled()


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
                    light(style(`${plot} .xtitle`).fill)];
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


WATCH = """(look) => {
    window.seen = [];
    const watch = () => { window.seen.push(eval(look)()); window.watching && requestAnimationFrame(watch); };
    window.watching = true;
    watch();
}"""


def watched(page: Page) -> list:
    """What `WATCH` saw, frame by frame, without repetitions."""
    page.evaluate("window.watching = false")
    found = page.evaluate("window.seen")
    return [one for place, one in enumerate(found) if place == 0 or one != found[place - 1]]


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


def test_a_changed_recipe_keeps_its_name_after_a_refresh(page: Page, server: str):
    open_train(page, server)
    choose_recipe(page, "two-moons", 7)
    choose(page, "Activation", "ReLU")
    choose(page, "Optimizer", "SGD")
    page.wait_for_url(re.compile(r"optimizer=sgd"))
    page.reload()
    drawn(page, "live-loss")
    expect(page.get_by_role("combobox", name="Recipe", exact=True)).to_have_value("two-moons")
    page.get_by_role("button", name="undo icon Reset").click()
    expect(page.get_by_role("combobox", name="Optimizer", exact=True)).to_have_value("Adam")
    expect(epochs(page)).to_have_value("50")


def test_a_tab_whose_run_ends_goes_over_to_a_run_of_pictures_without_a_word_of_trouble(page: Page, server: str):
    train(page, server, recipe="two-moons", pace="20 steps/s")
    picture = page.get_by_label("What the network makes of the data")
    expect(picture).to_be_visible()
    other = page.context.new_page()
    visit(other, server)
    drawn(other, "live-loss")
    choose_recipe(other, "simplenet", ENDLESS)
    press(other, "Queue")
    expect(other.locator(".st-key-under-way").get_by_role("radio")).to_have_count(2)
    page.evaluate(WATCH, "() => document.querySelectorAll('[data-testid=stException]').length")
    press(other, "Stop")
    expect(picture).to_have_count(0)
    reaches(page, f"of {63 * ENDLESS}")
    assert watched(page) == [0]
    press(page, "Stop")
    reaches(page, "stopped")
