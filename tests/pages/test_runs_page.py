"""The Runs page: what is selected, several runs over each other, and a store that cannot be used."""

import sqlite3
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.parts.state import process
from tests.pages.helpers import (
    enabled,
    find,
    go,
    opened,
    press,
    seen,
    told,
    well,
)
from tests.pages.kept_runs import entered, ids, shown, title
from tests.running import LONG

pytestmark = pytest.mark.usefixtures("own_process")


def test_without_runs_the_page_says_what_to_do():
    at = shown()
    assert "No run is kept yet" in at.subheader[0].value
    assert [link.proto.label for link in at.get("page_link")] == ["Train a first one"]
    assert not told(at)
    assert not at.text_input
    assert not at.multiselect
    assert not at.dataframe
    assert not at.expander


def test_with_none_selected_the_newest_is_shown_and_the_address_is_plain(zoo):
    at = shown()
    assert "Cyd" in title(at)
    assert "run" not in at.query_params
    assert at.session_state["runs/list"]["selection"]["rows"] == []


def test_the_table_and_the_address_follow_what_is_selected(zoo, root):
    at = shown(1)
    assert "Ada" in title(at)
    assert at.query_params["run"] in ("1", ["1"])
    assert at.session_state["runs/list"]["selection"]["rows"] == [2]
    entered(root, "Dan")
    well(at.run())
    assert "Ada" in title(at)
    assert at.session_state["runs/list"]["selection"]["rows"] == [3]  # it moved down by one


def arriving(*texts: str) -> AppTest:
    """The page as a link opens it: AppTest's own way to a page loses the address."""
    at = AppTest.from_file(Path(__file__).parents[2] / "pages" / "runs.py", default_timeout=LONG)
    at.session_state["kept/framed"] = True
    at.query_params["run"] = list(texts)
    return at.run()


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["99"], "There is no run 99."),
        (["abc"], "There is no run abc."),
        (["0x1"], "There is no run 0x1."),
        (["-1"], "There is no run -1."),
        (["9" * 400], f"There is no run {'9' * 40}."),
        (["<b>1</b>"], "There is no run <b>1</b>."),
        ([""], "There is no run ."),
    ],
)
def test_an_address_that_names_no_run_is_told_in_one_sentence(zoo, texts, words):
    at = well(arriving(*texts))
    (warning,) = at.warning
    assert warning.value.replace("\\", "") == words
    assert ids(at) == [3, 2, 1]
    assert not [found for found in at.get("html") if "<h3" in found.proto.body]


def test_an_address_may_name_one_run_or_several(zoo):
    assert "Ada" in title(well(arriving("1")))
    at = well(arriving("1", "3", "99"))
    assert "**2 runs** over the" in seen(at)
    assert "There is no run 99" in told(at)
    assert set(at.session_state["runs/list"]["selection"]["rows"]) == {0, 2}


def test_at_most_eight_runs_are_selected(root):
    for _ in range(10):
        entered(root)
    at = well(arriving(*map(str, range(1, 11))))
    assert "**8 runs** over the" in seen(at)
    assert len(at.session_state["runs/list"]["selection"]["rows"]) == 8


def test_a_deleted_run_in_the_address_says_where_it_is(zoo, elsewhere):
    elsewhere.store.delete(2)
    at = well(arriving("2"))
    assert "Run 2 is deleted" in told(at)
    press(at, "Bring back run 2")
    assert "Bob" in title(at)
    assert ids(at) == [3, 2, 1]


def test_two_runs_lie_over_each_other_with_what_differs(zoo):
    at = shown(1, 3)
    assert at.segmented_control[0].value == "step"
    text = seen(at)
    assert "<th>Ada · run 1</th><th>Cyd · run 3</th>" in text
    assert "<td>Optimizer</td><td>Adam</td><td>SGD</td>" in text
    assert "<td>Epochs</td>" not in text
    for x in ("epoch", "time"):
        well(at.segmented_control[0].set_value(x).run())
    assert "<th>Bob · run 2</th>" in seen(shown(1, 2, 3))


def test_runs_of_the_same_recipe_say_so(root):
    entered(root)
    entered(root)
    assert "Their recipes are the same" in seen(shown(1, 2))


def test_a_store_that_cannot_be_had_is_told_and_nothing_breaks(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "file" / "runs"))
    st.cache_resource.clear()
    at = opened()
    assert "Runs cannot be kept" in told(at)
    assert "no runs to show" in seen(go(at, "runs"))


def test_a_store_that_can_only_be_read_shows_its_runs(root, elsewhere, monkeypatch):
    entered(root, "old")
    monkeypatch.setattr(process.store().database, "writable", False)
    process.conductor.clear()
    monkeypatch.setattr(process.store().database, "problem", "Runs cannot be kept.")
    at = opened()
    assert "Runs cannot be kept." in told(at)
    assert "Dismiss" not in [button.label for button in at.button]
    at = shown()
    assert "old" in title(at)
    assert not enabled(at) & {"Resume", "Branch", "Delete"}
    assert find(at.text_input, "Name").disabled


def test_a_disk_that_fails_meanwhile_is_told(zoo, monkeypatch):
    at = shown()

    def fails(*arguments):
        raise sqlite3.OperationalError("disk I/O error")

    connection = process.store().database._reader
    monkeypatch.setattr(
        process.store().database, "_reader", type("Broken", (), {"execute": fails, "in_transaction": False})
    )
    well(at.run())
    assert "disk I/O error" in told(at)
    monkeypatch.setattr(process.store().database, "_reader", connection)
    assert ids(well(at.run())) == [3, 2, 1]
