"""What a person does at the dashboard, in a line each. Everything waits for a condition."""

import contextlib
import math
import re
from collections.abc import Sequence

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from dlcore.recipes import RECIPES

# A condition may take long on a busy machine; a test that goes well does not wait for it.
LONG = 120_000  # milliseconds
expect.set_options(timeout=LONG)

PLOT = {
    name: f".st-key-{name} .live-chart-plot" for name in ("live-loss", "live-accuracy", "race-loss", "race-accuracy")
}


def visit(page: Page, url: str) -> None:
    page.set_default_timeout(LONG)
    page.goto(url)


def open_train(page: Page, server: str, path: str = "/") -> None:
    """The Train page, with its charts drawn and nothing training."""
    visit(page, server + path)
    drawn(page, "live-loss")
    expect(page.get_by_text(re.compile(r"Network: [\d,]+ parameters"))).to_be_visible()  # the engine is here
    end_all(page)


def open_compare(page: Page, server: str) -> None:
    visit(page, f"{server}/compare")
    drawn(page, "race-loss")
    end_all(page)


def drawn(page: Page, chart: str) -> None:
    expect(page.locator(f"{PLOT[chart]} .main-svg").first).to_be_visible()


def end_all(page: Page) -> None:
    """Stop what an earlier test left behind."""
    expect(button(page, "Stop")).to_be_visible()
    if button(page, "Stop").is_enabled():
        press(page, "Stop")
    expect(button(page, "Start")).to_be_enabled()


def button(page: Page, name: str) -> Locator:
    """A button of the page itself: while a script runs, Streamlit's header has a Stop of its own."""
    return page.get_by_test_id("stMain").get_by_role("button", name=name, exact=True)


def press(page: Page, name: str) -> None:
    button(page, name).click()


def start(page: Page, chart: str) -> None:
    """Press Start and wait until the chart shows the new run, not the one before."""
    view = "(plot) => document.querySelector(plot)?.layout?.uirevision"
    before = page.evaluate(view, PLOT[chart])
    press(page, "Start")
    page.wait_for_function(f"([plot, before]) => ({view})(plot) !== before", arg=[PLOT[chart], before])


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    pick(page, box, option)
    expect(box.last).to_have_value(option)
    expect(box).to_have_count(1)  # the controls of the choice before are gone
    settled(page)


def pick(page: Page, box: Locator, option: str, search: bool = False) -> None:
    """Choose from a list, which a page that is drawn anew just then closes; `search` for what is far down in it."""
    for patience in (LONG / 20, LONG / 20, LONG):
        settled(page)
        if search:
            box.fill("")  # the same word again would be no news, and the list that was closed would stay so
            box.fill(option)
        else:
            box.click()
        with contextlib.suppress(PlaywrightTimeout):
            return page.get_by_role("option", name=option, exact=True).click(timeout=patience)
    raise AssertionError(f"{option} could not be chosen")


def set_number(page: Page, label: str, value: int) -> None:
    field = page.get_by_role("spinbutton", name=label, exact=True)
    expect(field).to_have_count(1)  # the controls of the recipe before are gone
    field.fill(str(value))
    field.press("Tab")


def choose_recipe(page: Page, name: str, epochs: int) -> None:
    """A named recipe, with another number of epochs."""
    if page.get_by_role("combobox", name="Recipe", exact=True).input_value() != name:
        choose(page, "Recipe", name)
        expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value(
            str(RECIPES[name].recipe.epochs)
        )
    set_number(page, "Epochs", epochs)
    settled(page)
    expect(page.get_by_role("spinbutton", name="Epochs", exact=True)).to_have_value(str(epochs))


def set_pace(page: Page, shown: str) -> None:
    """Move the pace slider until it shows this, such as `50 steps/s`."""
    slider = page.get_by_role("slider", name="Pace")
    slider.focus()
    slider.press("End")
    told = page.locator(".st-key-pace").get_by_text(shown, exact=True).first
    while not told.is_visible() and (now := slider.get_attribute("aria-valuenow")) != "0":
        slider.press("ArrowLeft")
        expect(slider).not_to_have_attribute("aria-valuenow", now)
    expect(told).to_be_visible()
    settled(page)


def settled(page: Page) -> None:
    """The server has answered: no run of the script is under way."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()


def status(page: Page) -> Locator:
    return page.locator(".st-key-status")


def reaches(page: Page, word: str | re.Pattern) -> None:
    expect(status(page)).to_contain_text(word)


def step(page: Page) -> int:
    """The step that the status line shows, once there is a first one."""
    found = "document.querySelector('.st-key-status')?.innerText.match(/step ([1-9]\\d*)/)?.[1]"
    return int(page.wait_for_function(found).json_value())


def beside_its_swatch(name: Locator) -> bool:
    """Whether the swatch and the first letters of a name that takes several lines are on one line."""
    swatch, letters = name.locator(".swatch").bounding_box(), name.locator("span").bounding_box()
    return letters["height"] > 3 * swatch["height"] and 0 <= swatch["y"] - letters["y"] < swatch["height"]


COUNT = """(plot) => (document.querySelector(plot)?.data ?? []).map(({ y }) => y.filter((v) => v !== null).length)"""


def points(page: Page, chart: str) -> list[int]:
    """How many points each line of a chart has."""
    return page.evaluate(COUNT, PLOT[chart])


def has_points(page: Page, chart: str, counts: Sequence[int]) -> None:
    """The last lines of a chart come to have so many points each; the status may be a tick ahead of it."""
    page.wait_for_function(
        f"([plot, counts]) => String(({COUNT})(plot).slice(-counts.length)) === String(counts)",
        arg=[PLOT[chart], list(counts)],
    )


def wait_for_points(page: Page, chart: str, more_than: Sequence[int]) -> None:
    """Every line has more points than that."""
    page.wait_for_function(
        f"([plot, before]) => {{ const now = ({COUNT})(plot); return before.every((count, i) => now[i] > count); }}",
        arg=[PLOT[chart], list(more_than)],
    )


def wait_for_steps(page: Page, chart: str, more: int) -> None:
    """The chart's longest line reaches `more` steps further than it does now."""
    reach = "Math.max(0, ...(document.querySelector(plot)?.data ?? []).flatMap(({ x }) => x))"
    now = page.evaluate(f"(plot) => {reach}", PLOT[chart])
    page.wait_for_function(f"([plot, goal]) => {reach} >= goal", arg=[PLOT[chart], now + more])


# --- The pad


def draw(page: Page, points: Sequence[tuple[float, float]], lift: bool = True) -> None:
    """A stroke along points given as fractions of the pad's side; the pen stays down without `lift`."""
    pad = page.get_by_label("Drawing pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    if lift:
        page.mouse.up()


ONE = [(0.5, 0.15), (0.5, 0.5), (0.5, 0.85)]
SEVEN = [(0.25, 0.2), (0.72, 0.2), (0.6, 0.5), (0.45, 0.85)]
ZERO = [(0.5 + 0.22 * math.sin(turn / 12 * math.pi), 0.5 - 0.34 * math.cos(turn / 12 * math.pi)) for turn in range(25)]


def answer(page: Page) -> Locator:
    """The class that the network reads."""
    return page.locator(".st-key-prediction .answer .class")
