"""The Train page's address: what is chosen stands there, and a link, a refresh and the arrows bring it back."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.helpers import (
    choose,
    choose_recipe,
    drawn,
    open_train,
    press,
    reaches,
    set_number,
    settled,
    visit,
    wait_for_steps,
)
from tests.browser.training import epochs, train


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
