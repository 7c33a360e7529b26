"""The Train page in a browser: a run from Start to its CSV, and what a viewer did to a chart while it moves."""

import csv
import re
from pathlib import Path

from playwright.sync_api import Page, expect

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
    step,
    visit,
    wait_for_points,
    wait_for_steps,
)
from tests.browser.training import ENDLESS, WATCH, train, watched


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
    hidden = "(plot) => plot._fullData.filter(({ visible }) => visible === 'legendonly').map(({ name }) => name)"
    train(page, server, pace="50 steps/s")
    wait_for_steps(page, "live-loss", 5)
    plot = page.locator(PLOT["live-loss"])
    element = plot.element_handle()
    element.evaluate("(plot) => { plot.mark = plot.querySelector('.main-svg').mark = true; }")

    name = page.locator(".st-key-live-loss").get_by_role("button", name="training", exact=True)
    name.click()
    page.wait_for_function(f"(plot) => ({hidden})(plot).includes('training')", arg=element)

    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.7, steps=10)
    page.mouse.up()
    page.wait_for_function("(plot) => plot._fullLayout.xaxis.range[0] > 0", arg=element)
    zoom = element.evaluate("(plot) => [...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]")

    for _ in range(3):
        wait_for_steps(page, "live-loss", 20)
    assert element.evaluate("(plot) => [...plot._fullLayout.xaxis.range, ...plot._fullLayout.yaxis.range]") == zoom
    assert element.evaluate(hidden) == ["training"]
    assert element.evaluate("(plot, where) => plot.mark && plot === document.querySelector(where)", PLOT["live-loss"])
    assert element.evaluate("(plot) => plot.querySelector('.main-svg').mark")  # it is not built anew
    press(page, "Stop")
    reaches(page, "stopped")


def test_one_crosshair_goes_through_the_charts_of_a_run_while_it_trains(page: Page, server: str):
    train(page, server, pace="50 steps/s")
    wait_for_points(page, "live-accuracy", [0, 0])
    crosses = (
        "() => [...document.querySelectorAll('.live-chart')].map((one) => one.querySelectorAll('.spikeline').length)"
    )
    assert page.evaluate(crosses) == [0, 0]
    page.locator(f"{PLOT['live-accuracy']} .nsewdrag").first.hover()
    page.wait_for_function(f"({crosses})().every((lines) => lines)")
    for _ in range(2):
        wait_for_steps(page, "live-loss", 20)
    page.wait_for_function(f"({crosses})().every((lines) => lines)")
    expect(page.locator(f"{PLOT['live-loss']} .hoverlayer")).to_contain_text("validation")
    page.mouse.move(0, 0)
    page.wait_for_function(f"({crosses})().every((lines) => !lines)")
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
