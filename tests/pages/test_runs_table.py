"""The table of runs: what it lists, and what is found in it."""

import itertools

import pandas as pd
import pytest

from dlcore.recipes import RECIPES
from dlcore.runs.records import Branch
from pages.parts import runs_table
from tests.pages.helpers import (
    find,
    go,
    seen,
)
from tests.pages.kept_runs import entered, fill, ids, listed, shown, title, trained
from tests.running import MOONS, changed

pytestmark = pytest.mark.usefixtures("own_process")


def test_runs_are_listed_newest_first_with_what_they_measured(root):
    entered(root, "early", tags=["sweep"], note="first line\nsecond")
    recipe = changed(RECIPES["linear-regression"].recipe, epochs=7)
    entered(root, "late", recipe, status="stopped", elapsed=75.4, branch=Branch(1, 1, 4))
    entered(root, "new", changed(MOONS, epochs=12), epochs=0, status="interrupted")
    table = listed(shown()).set_index("number")
    assert list(table.index) == [3, 2, 1]
    assert list(table["name"]) == ["new", "late", "early"]
    assert list(table["status"]) == ["interrupted", "stopped", "finished"]
    assert list(table["epoch"]) == ["0 of 12", "2 of 7", "2 of 3"]
    assert table["val_accuracy"][1] == table["best_val_accuracy"][1] == 75.0
    assert (table["val_loss"][1], table["best_epoch"][1]) == (0.5, 2)
    assert table.loc[3, ["val_accuracy", "val_loss", "best_epoch"]].isna().all()
    assert list(table["data"]) == ["moons", "line", "moons"]
    assert (table["optimizer"][2], table["lr"][2], table["parent"][2]) == ("sgd", recipe.optimizer.lr, 1)
    assert table["trained"][2] == pd.Timedelta(seconds=75)
    assert (list(table["tags"][1]), table["note"][1]) == (["sweep"], "first line")


def test_the_line_above_tells_how_many_there_are_and_how_much_room_they_take(elsewhere):
    trained(elsewhere)
    trained(elsewhere)
    at = shown()
    room = sum(row["size"] for row in elsewhere.store.rows())
    assert f"2 runs · {room / 1000:.1f} kB on disk" in seen(at)


def test_when_a_run_was_begun_is_in_view_on_a_screen_of_1280():
    before = itertools.takewhile(lambda name: name != "tags", runs_table.COLUMNS)
    boxes, room = 33, 1130  # pixels
    assert boxes + sum(runs_table.COLUMNS[name]["width"] for name in before) <= room


def test_an_epoch_column_sorts_by_number(root):
    entered(root, epochs=10, recipe=changed(MOONS, epochs=20))
    entered(root, epochs=9, recipe=changed(MOONS, epochs=20))
    column = list(listed(shown())["epoch"])
    assert [text.strip("\u2007") for text in column] == ["9 of 20", "10 of 20"]
    assert len({len(text) for text in column}) == 1


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", [3, 2, 1]),
        ("ada", [1]),
        ("STORY", [1]),
        ("sweep", [2, 1]),
        ("sweep line", [2]),
        ("moons", [3, 1]),
        ("sgd", [3, 2]),
        ("mlp sgd", [3]),
        ("3", [3]),
        ("(", []),
        ("nothing at all", []),
    ],
)
def test_every_word_of_the_search_must_be_somewhere(zoo, words, found):
    at = shown()
    fill(at, at.text_input, "Search", words)
    assert ids(at) == found
    assert ("of 3 runs" in seen(at)) == (len(found) < 3)


@pytest.mark.parametrize(
    ("statuses", "tags", "found"),
    [
        (["failed"], [], [2]),
        (["failed", "interrupted"], [], [3, 2]),
        ([], ["sweep"], [2, 1]),
        ([], ["sweep", "good"], [1]),
        (["finished"], ["sweep"], [1]),
        (["training"], [], []),
    ],
)
def test_filters_by_status_and_tags(zoo, statuses, tags, found):
    at = shown()
    fill(at, at.multiselect, "Status", statuses)
    at = fill(at, [box for box in at.multiselect if box.key == "runs/tags"], "Tags", tags)
    assert ids(at) == found


def test_a_search_survives_a_visit_to_another_page_and_hides_no_selected_run(zoo):
    at = shown(2)
    fill(at, at.text_input, "Search", "ada")
    assert ids(at) == [1]
    assert "Bob" in title(at)
    go(go(at, "reference"), "runs")
    assert find(at.text_input, "Search").value == "ada"
    assert ids(at) == [1]
