"""Training: what is done on the Train page by several of its tests."""

from playwright.sync_api import Locator, Page

from tests.browser.helpers import choose_recipe, open_train, set_pace, start

ENDLESS = 100_000  # epochs: longer than any test looks


def train(page: Page, server: str, recipe: str = "simplenet", epochs: int = ENDLESS, pace: str = "full speed") -> None:
    open_train(page, server)
    choose_recipe(page, recipe, epochs)
    set_pace(page, pace)
    start(page, "live-loss")


def epochs(page: Page) -> Locator:
    return page.get_by_role("spinbutton", name="Epochs", exact=True)


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
