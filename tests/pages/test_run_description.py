"""A run's name, tags and note."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.state import process
from tests.pages.helpers import find, go, opened, press, told, well
from tests.pages.kept_runs import HOSTILE, entered, fill, ids, kept, listed, shown, title

pytestmark = pytest.mark.usefixtures("own_process")


@pytest.mark.parametrize("name", ["a/b\\c", "\"quoted\" 'name'", "🙂 日本語", HOSTILE, "x" * 100, "../../etc/passwd"])
def test_a_run_can_be_called_anything_that_is_a_line(root, elsewhere, name):
    number = entered(root)
    at = shown()
    fill(at, at.text_input, "Name", name)
    assert not told(at)
    assert elsewhere.store.open(number).name == name
    assert list(listed(at)["name"]) == [name]
    assert "<b>" not in title(at)
    fill(at, at.text_input, "Search", name[:20])
    assert ids(at) == [number]


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "x" * 10_000, "two\nlines", "a\x00b"])
def test_what_is_no_name_is_refused_in_one_sentence_and_changes_nothing(root, elsewhere, name):
    number = entered(root, "before")
    at = shown()
    fill(at, at.text_input, "Name", name)
    assert told(at).replace("\\", "").startswith("A run's name is one line of 1 to 100 letters")
    assert elsewhere.store.open(number).name == "before"
    fill(at, at.text_input, "Name", "after")
    assert not told(at)
    assert elsewhere.store.open(number).name == "after"


def test_a_run_of_this_process_is_renamed_everywhere(root):
    at = press(fast(opened()), "Start")
    (job,) = process.jobs()
    at = go(at, "runs")
    fill(at, at.text_input, "Name", "mine")
    assert (job.name, process.store().open(job.number).name) == ("mine", "mine")
    job.stop()
    kept(job)
    assert process.store().open(job.number).name == "mine"


def fast(at: AppTest) -> AppTest:
    well(find(at.selectbox, "Recipe").select("two-moons").run())
    return well(find(at.number_input, "Epochs").set_value(100_000).run())


def test_tags_and_notes_are_kept_and_wrong_ones_refused(root, elsewhere):
    number, other = entered(root, "one"), entered(root, "two", tags=["known"])
    at = shown(number)
    box = next(box for box in at.multiselect if box.key == f"run/{number}/tags")
    assert box.options == ["known"]
    well(box.set_value(["known"]).run())
    fill(at, at.text_area, "Note", "# one\n**two**")
    run = elsewhere.store.open(number)
    assert (run.tags, run.note) == (("known",), "# one\n**two**")
    fill(at, at.text_area, "Note", "x" * 10_001)
    assert "A note has at most 10,000" in told(at)
    assert elsewhere.store.open(number).note == "# one\n**two**"
    assert elsewhere.store.open(other).note == ""
