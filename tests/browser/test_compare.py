"""The Compare page in a browser: a race from its start to its verdict."""

import re

from playwright.sync_api import Locator, Page, expect

from dlcore.recipes import RECIPES
from tests.browser.helpers import (
    PLOT,
    beside_its_swatch,
    button,
    choose,
    drawn,
    has_points,
    open_compare,
    pick,
    points,
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

VERDICT = re.compile("came first|cannot be told apart")


def standings(page: Page) -> Locator:
    return page.locator(".st-key-standings tbody tr")


def differences(page: Page, setting: str) -> Locator:
    """What each contestant has of a setting; in the race to come, if there was one before."""
    table = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="setting", exact=True))
    return table.last.get_by_role("row").filter(has=page.get_by_role("cell", name=setting, exact=True))


def wait_for_legend(page: Page, chart: str, name: str) -> None:
    shown = "(document.querySelector(plot)?.data ?? []).filter((t) => t.showlegend !== false).map(({ name }) => name)"
    page.wait_for_function(f"([plot, name]) => {shown}.includes(name)", arg=[PLOT[chart], name])


def set_up(
    page: Page, server: str, recipe: str, epochs: int, pace: str = "full speed", rates: str = "Each one's own default"
) -> None:
    open_compare(page, server)
    choose(page, "Recipe", recipe)
    choose(page, "Learning rates", rates)
    page.get_by_text("What they share").click()
    expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value(str(RECIPES[recipe].recipe.epochs))
    set_number(page, "Epochs", epochs)
    settled(page)
    set_pace(page, pace)


def leave_out(page: Page, contestant: str) -> None:
    page.get_by_role("button", name=f"Remove {contestant}", exact=True).click()
    expect(page.get_by_role("button", name=f"Remove {contestant}", exact=True)).to_have_count(0)
    settled(page)


def write_contestants(page: Page, lines: str) -> None:
    pick(page, page.get_by_role("combobox", name="What differs", exact=True), "Anything", search=True)
    settled(page)
    field = page.get_by_role("textbox", name="Contestants", exact=True)
    field.fill(lines)
    field.press("Control+Enter")
    settled(page)


def test_the_page_can_be_the_first_that_a_server_is_asked_for(page: Page, server: str):
    visit(page, f"{server}/compare")
    drawn(page, "race-loss")
    expect(page.get_by_role("link", name="Train")).to_be_visible()
    reaches(page, "SGD, Adam, RMSprop, NAdam")


def test_three_optimizers_race_to_a_verdict(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=30, pace="10 steps/s")
    leave_out(page, "NAdam")
    start(page, "race-loss")
    reaches(page, "training")
    expect(standings(page)).to_have_count(3)
    wait_for_points(page, "race-loss", more_than=[1] * 6)  # the steps and the epochs of each
    wait_for_points(page, "race-accuracy", more_than=points(page, "race-accuracy"))
    set_pace(page, "full speed")
    reaches(page, "finished")
    for name in ("SGD", "Adam", "RMSprop"):
        row = standings(page).filter(has_text=name).first
        expect(row).to_contain_text("finished")
        expect(row).to_contain_text("30 of 30")
    expect(page.locator(".st-key-standings").get_by_test_id("stAlert")).to_contain_text(VERDICT)
    has_points(page, "race-accuracy", [30] * 6)
    expect(button(page, "Start")).to_be_enabled()


def test_a_race_pauses_steps_and_goes_on_together(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=1000, pace="20 steps/s")
    start(page, "race-loss")
    wait_for_steps(page, "race-loss", 3)
    press(page, "Pause")
    reaches(page, "paused")
    expect(standings(page).filter(has_text="paused")).to_have_count(4)
    settled(page)
    stood = step(page)
    press(page, "Step")
    reaches(page, f"step {stood + 1} of")
    reaches(page, "paused")
    press(page, "Resume")
    reaches(page, "training")
    wait_for_steps(page, "race-loss", 5)
    press(page, "Stop")
    reaches(page, "stopped")
    assert step(page) > stood + 1


def test_who_diverges_leaves_with_a_reason_and_the_others_finish(page: Page, server: str):
    set_up(page, server, "linear-regression", epochs=300)
    write_contestants(page, "Calm: optimizer.lr=0.01\nSlow: optimizer.lr=0.001\nWild: optimizer.lr=1")
    start(page, "race-loss")
    reaches(page, "finished")
    expect(standings(page)).to_have_count(3)
    expect(standings(page).filter(has_text="Wild")).to_contain_text("smaller learning rate")
    for name in ("Calm", "Slow"):
        expect(standings(page).filter(has_text=name)).to_contain_text("300 of 300")
    verdict = page.locator(".st-key-standings").get_by_test_id("stAlert")
    expect(verdict).to_contain_text("Calm came first")
    expect(verdict).to_contain_text("Wild left the race")


def test_the_longest_names_wrap_beside_their_swatches_and_the_page_grows_no_wider(page: Page, server: str):
    page.set_viewport_size({"width": 1280, "height": 800})
    open_compare(page, server)
    names = [letter * 40 for letter in "WM"]
    write_contestants(page, "\n".join(f"{name}: optimizer.lr=0.01 epochs=1" for name in names))
    choose(page, "Recipe", "two-moons")
    start(page, "race-loss")
    reaches(page, "finished")
    for name in names:
        assert beside_its_swatch(standings(page).filter(has_text=name).locator(".named"))
    table = page.locator(".st-key-standings table")
    assert table.bounding_box()["width"] <= page.locator(".st-key-standings").bounding_box()["width"]


def test_rates_are_tried_first_and_the_race_follows_though_nobody_looks(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=50, rates="The best of three for each")
    for name in ("RMSprop", "NAdam"):
        leave_out(page, name)
    expect(differences(page, "Learning rate")).to_contain_text("tries 0.001, 0.01, 0.1")
    set_pace(page, "100 steps/s")
    start(page, "race-loss")
    reaches(page, "trying learning rates: SGD at 0.001, 0.01, 0.1")
    expect(standings(page)).to_have_count(3)
    expect(button(page, "Start")).to_be_disabled()
    set_pace(page, "full speed")
    page.goto("about:blank")
    visit(page, f"{server}/compare")
    reaches(page, "finished")
    expect(standings(page)).to_have_count(2)
    for name in ("SGD", "Adam"):
        rate = standings(page).filter(has_text=name).locator("td").nth(2).inner_text()
        expect(page.get_by_text(f"{name}: Learning rate {rate}, the best of three")).to_be_visible()
        wait_for_legend(page, "race-accuracy", f"{name} · rate {rate}")
        expect(differences(page, "Learning rate")).to_contain_text(rate)


def test_a_contestants_settings_stay_unfolded_while_they_are_changed(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=5)
    side = page.get_by_test_id("stSidebar")
    side.get_by_text("SGD", exact=True).last.click()
    momentum = side.get_by_role("slider", name="Momentum")
    expect(momentum).to_have_count(1)
    momentum.press("Home")
    expect(differences(page, "Optimizer: momentum").locator("td").nth(1)).to_have_text("0")
    rate = side.get_by_role("slider", name="Learning rate").first
    rate.press("ArrowRight")
    rate.press("ArrowRight")
    expect(differences(page, "Learning rate").locator("td").nth(1)).to_have_text("0.03")
    expect(momentum).to_be_visible()
    side.get_by_role("button", name="Reset", exact=True).last.click()
    expect(differences(page, "Optimizer: momentum").locator("td").nth(1)).to_have_text("0.9")
    expect(differences(page, "Learning rate").locator("td").nth(1)).to_have_text("0.01")


def test_what_they_share_outlives_a_refresh(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=5)
    page.wait_for_url(re.compile(r"/compare\?.*epochs=5"))
    page.reload()
    expect(page.get_by_role("combobox", name="Recipe", exact=True)).to_have_value("two-moons")
    page.get_by_text("What they share").click()
    expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value("5")


def test_another_tab_sees_the_race(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=1000, pace="10 steps/s")
    start(page, "race-loss")
    wait_for_steps(page, "race-loss", 2)
    other = page.context.new_page()
    visit(other, f"{server}/compare")
    reaches(other, "training")
    expect(standings(other)).to_have_count(4)
    press(other, "Stop")
    reaches(page, "stopped")


def test_the_runs_of_an_earlier_race_are_drawn_beside_the_next_one(page: Page, server: str):
    set_up(page, server, "two-moons", epochs=40)
    for name in ("RMSprop", "NAdam"):
        leave_out(page, name)
    start(page, "race-loss")
    reaches(page, "finished")
    expect(page.locator(".st-key-standings").get_by_test_id("stAlert")).to_contain_text(VERDICT)
    settled(page)
    set_number(page, "Epochs", 20)
    settled(page)
    start(page, "race-loss")
    reaches(page, "finished")
    settled(page)
    box = page.get_by_role("combobox", name="Beside them", exact=True)
    box.fill("Adam")
    page.get_by_role("option").filter(has_text=re.compile(r"^Adam · run \d+$")).first.click()
    expect(standings(page)).to_have_count(3)
    beside = standings(page).last
    expect(beside.locator("td").first).to_have_text("–")
    expect(beside).to_contain_text(re.compile(r"Adam · run\s\d+"))
    expect(beside).to_contain_text("40 of 40")
    wait_for_points(page, "race-accuracy", more_than=[19] * 4 + [39] * 2)
    reach = page.evaluate("(plot) => document.querySelector(plot).layout.xaxis.range[1]", PLOT["race-loss"])
    steps = page.evaluate("(plot) => Math.max(...document.querySelector(plot).data.at(-1).x)", PLOT["race-loss"])
    assert reach == steps  # the longest
