"""What a page begins with is what its browser shows, whichever of the server's messages it comes to draw."""

from playwright.sync_api import Page, expect

from tests.browser.helpers import open_train, reaches, set_pace, settled, visit
from tests.browser.training import train

OPENED = 3  # times: which of the server's messages a browser draws first is a matter of chance


def test_a_link_to_an_epoch_shows_that_epoch_again_and_again(page: Page, server: str):
    train(page, server, "two-moons", epochs=8)
    reaches(page, "finished")
    for asked, shown in [("?run=1&epoch=5", "5"), ("?run=1", "live")] * OPENED:
        tab = page.context.new_page()
        visit(tab, f"{server}/inside{asked}")
        slider = tab.get_by_role("slider", name="Epoch")
        expect(tab.locator(".st-key-network-view canvas")).to_be_visible()
        settled(tab)
        expect(slider).to_have_attribute("aria-valuetext", shown)
        assert tab.url.endswith(f"/inside{asked}")
        tab.close()


def test_a_new_tab_begins_at_the_pace_that_was_chosen_again_and_again(page: Page, server: str):
    open_train(page, server)
    set_pace(page, "full speed")
    for _ in range(OPENED):
        tab = page.context.new_page()
        open_train(tab, server)
        settled(tab)
        expect(tab.get_by_role("slider", name="Pace")).to_have_attribute("aria-valuetext", "full speed")
        tab.close()
