"""Deleting a run, and bringing it back."""

import pytest

from dlcore.runs.records import Stored
from pages.parts import panels
from pages.parts.state import process
from tests.pages.helpers import enabled, find, go, opened, press, seen, told, well
from tests.pages.kept_runs import HOSTILE, ids, kept, shown, title, trained
from tests.running import ENDLESS
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_when_the_only_run_is_deleted_it_can_be_brought_back_by_either_way(elsewhere):
    number = trained(elsewhere).number
    for label in ("Undo", f"Bring back run {number}"):
        at = shown(number)
        elsewhere.store.delete(number)
        at.session_state["kept/runs/deleted"] = (number, "moons")
        at.session_state["kept/runs/selected"] = []
        well(at.run())
        assert "No run is kept yet" in at.subheader[0].value
        assert not at.dataframe
        press(at, label)
        assert ids(at) == [number]
        assert "moons" in title(at)


def test_deleting_is_asked_twice_and_can_be_undone(elsewhere):
    trained(elsewhere, HOSTILE)
    trained(elsewhere, "other")
    at = press(shown(1), "Delete")
    assert "(run 1) goes" in seen(at).replace("\\", "")
    press(at, "Keep it")
    assert ids(at) == [2, 1]
    press(press(at, "Delete"), "Delete it")
    assert ids(at) == [2]
    assert f"Deleted {panels.escape(HOSTILE)} (run 1)." in seen(at)
    assert "other" in title(at)
    press(at, "Undo")
    assert ids(at) == [2, 1]
    assert "run 1<" in title(at)
    assert "Undo" not in enabled(at)


def test_a_deleted_run_of_this_process_leaves_it_and_comes_back_as_a_stored_one(elsewhere):
    at = opened()
    well(find(at.selectbox, "Recipe").select("two-moons").run())
    well(find(at.number_input, "Epochs").set_value(2).run())
    press(at, "Start")
    (job,) = process.jobs()
    kept(job)
    press(press(go(at, "runs"), "Delete"), "Delete it")
    assert process.jobs() == []
    assert "No run is kept yet" in at.subheader[0].value
    press(at, "Undo")
    assert process.jobs() == []
    assert isinstance(process.record(job.number), Stored)
    assert "two-moons" in title(at)
    press(press(at, "Delete"), "Delete it")
    press(at, f"Bring back run {job.number}")
    assert ids(at) == [job.number]


def test_a_run_under_way_is_not_deleted(elsewhere):
    job = elsewhere.submit("going", ENDLESS)
    # Else the page may be drawn anew just then, since it trains by now, and what was told would be gone.
    wait_until(lambda: elsewhere.store.open(job.number).status == "training")
    at = press(shown(), "Delete")
    assert "is under way; stop it before it is deleted" in told(at)
    assert "Delete it" not in enabled(at)
    assert ids(at) == [1]
