"""Folders that the list of runs does not know."""

import pytest
import streamlit as st

from pages.parts import panels
from pages.parts.state import process
from tests.pages.helpers import enabled, find, opened, press, told
from tests.pages.kept_runs import HOSTILE, entered, ids, shown, trained

pytestmark = pytest.mark.usefixtures("own_process")


def test_a_folder_that_the_list_does_not_know_is_offered_and_entered(root):
    for name in (HOSTILE, "other"):
        trained(process.conductor(), name)
    process.conductor().close()
    process.store().close()
    for file in root.glob("dlcore.db*"):
        file.unlink()
    (root / "2" / "run.json").unlink()
    st.cache_resource.clear()
    at = shown()
    assert "No run is kept yet" in at.subheader[0].value
    offered = [one.value for one in at.caption if "not in the list of runs" in one.value]
    assert offered[0].startswith(f"Run 1 ({panels.escape(HOSTILE)}) has a folder")
    assert "it has no run.json" in offered[1]
    assert "Import run 2" not in [button.label for button in at.button]
    press(at, "Import run 1")
    assert ids(at) == [1]
    assert find(at.text_area, "Note").value.startswith("Imported from its folder.")
    assert "Import run 1" not in [button.label for button in at.button]
    assert enabled(at) & {"Resume", "Branch", "Delete"} == {"Resume", "Branch", "Delete"}
    assert "held no list of runs" in told(opened())


def test_what_happened_to_the_store_is_told_without_marks_of_code_until_it_is_dismissed(root):
    trained(process.conductor())
    process.conductor().close()
    process.store().close()
    for file in root.glob("dlcore.db*"):
        file.unlink()
    st.cache_resource.clear()
    at = opened()
    assert "The Runs page offers to enter them again" in told(at)
    assert "`" not in told(at)
    press(at, "Dismiss")
    assert not told(at)
    assert "Dismiss" not in [button.label for button in at.button]
    assert not told(opened())
    assert "Import run 1" in [button.label for button in shown().button]


def test_where_every_folder_is_known_nothing_is_offered(root):
    entered(root)
    assert not [one for one in shown().caption if "not in the list" in one.value]
