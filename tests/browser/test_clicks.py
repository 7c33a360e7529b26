"""A click is done once, also when the browser reports it twice: until it has sent one, a tick sends it along."""

from playwright.sync_api import Page, expect

from tests.browser.helpers import button, press, reaches, wait_for_steps
from tests.browser.training import ENDLESS, train

# What is sent at once is sent late, as on a busy machine, once `late` is set.
LATE = """(() => {
    const set = window.setTimeout;
    window.setTimeout = (call, wait, ...given) => set(call, window.late && !wait ? 1500 : wait, ...given);
})()"""


def test_stop_ends_the_run_that_is_shown_and_not_the_one_whose_turn_then_comes(page: Page, server: str):
    page.add_init_script(LATE)
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(len(frame))))
    train(page, server, epochs=ENDLESS, pace="100 steps/s")
    reaches(page, "training")
    press(page, "Queue")
    under_way = page.get_by_role("radiogroup", name="Under way").get_by_role("radio")
    expect(under_way).to_have_count(2)
    before = len(sent)
    page.evaluate("window.late = true")
    press(page, "Stop")
    expect(under_way).to_have_count(1)
    reaches(page, "training")
    page.evaluate("window.late = false")
    wait_for_steps(page, "live-loss", more=300)  # long after the click was reported again
    reaches(page, "training")
    assert len(sent) > before + 2
    press(page, "Stop")
    reaches(page, "stopped")
    expect(button(page, "Start")).to_be_enabled()
