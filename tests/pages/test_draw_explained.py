"""On the Draw page an answer is explained: by the layers, and by what it hangs on."""

import pytest

from tests.pages.drawing import choose, drawn, trained
from tests.pages.helpers import LONG, find, seen, well
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_the_answer_is_explained_by_layers_and_by_what_it_hangs_on(elsewhere):
    job = trained(elsewhere)
    at = drawn()
    assert "as it is now" not in seen(at)
    well(find(at.toggle, "Explain").set_value(True).run())
    wait_until(lambda: "Click a unit to open it" in seen(well(at.run())), LONG)
    assert f"run {job.number} · finished, as it is now" in seen(at)
    at.session_state["explain"] = "What it hangs on"
    wait_until(lambda: "network says" in seen(well(at.run())), LONG)
    assert "Blue speaks for" in seen(at)
    choose(at)
    assert "as it is now" not in seen(at)
