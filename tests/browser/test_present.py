"""Present: larger type and no settings, on every page of the tab, until Escape."""

from playwright.sync_api import Page, expect

from tests.browser.helpers import button, open_train, settled


def test_presenting_holds_on_every_page_and_after_a_refresh_until_escape(page: Page, server: str):
    open_train(page, server)
    present = page.get_by_role("button", name="Present", exact=True)
    sidebar, start = page.get_by_test_id("stSidebar"), button(page, "Start")
    expect(sidebar).to_be_visible()
    before = start.bounding_box()["height"]
    present.click()
    expect(sidebar).to_be_hidden()
    assert start.bounding_box()["height"] > 1.2 * before
    page.get_by_role("link", name="Compare", exact=True).click()
    settled(page)
    expect(sidebar).to_be_hidden()
    page.reload()
    expect(page.get_by_role("button", name="End presentation")).to_be_visible()
    expect(sidebar).to_be_hidden()
    page.keyboard.press("Escape")
    expect(sidebar).to_be_visible()
    expect(present).to_be_visible()
