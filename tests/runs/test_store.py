import contextlib
import json
import time

import pytest

from dlcore.runs import manifest
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import (
    DESCRIBED,
    content,
    cut_to_nothing,
    description,
    entered,
    grow,
    history,
    record,
    remove_database,
)

NAMES = [
    "plain",
    "../../etc/passwd",
    "a/b\\c",
    'it\'s "quoted"; DROP TABLE runs; --',
    "Ünïcödé 😀👩‍👩‍👧 數字",
    "%s {0} ?1 :name",
    "<b>bold</b> **md** $x$",
    "x" * 100,
]


@pytest.mark.parametrize("name", NAMES)
def test_names_notes_and_tags_of_any_letters_survive(runs, name):
    number = entered(runs, record(name, status="finished"))
    runs.describe(number, note=name * 100, tags=[name[:40], "b"])
    found = runs.open(number)
    assert (found.name, found.note, found.tags) == (name, name * 100, (name[:40], "b"))
    runs.describe(number, name=name[::-1])
    assert runs.rows()[0]["name"] == name[::-1]
    assert sorted(path.name for path in runs.root.parent.iterdir()) == ["runs"]


def test_a_race_has_all_its_runs_that_are_not_deleted(runs):
    assert runs.race() == runs.race(1) == []
    entered(runs, record("alone"), *(record(name, race=2) for name in "abc"), record("later"))
    entered(runs, record("d", race=6), record("between"), record("e", race=6))
    assert runs.race() == runs.race(6) == [6, 8]
    assert runs.race(2) == [2, 3, 4]
    assert runs.race(1) == runs.race(3) == []
    runs.delete(3)
    assert runs.race(2) == [2, 4]
    runs.delete(6)
    runs.delete(8)
    assert runs.race() == [2, 4]


def test_rows_are_newest_first_and_numbers_oldest_first(runs):
    entered(runs, *[record(str(count), status="finished") for count in range(5)])
    assert [one["name"] for one in runs.rows()] == ["4", "3", "2", "1", "0"]
    assert runs.numbers() == [1, 2, 3, 4, 5]


def test_the_next_number_is_the_one_that_the_next_run_gets(runs):
    for _ in range(2):
        number = runs.next_number()
        assert entered(runs, record("one", status="finished")) == number
    runs.delete(number)
    assert runs.next_number() == number + 1


def test_a_run_that_is_not_there_is_told(runs):
    for call in (runs.open, runs.delete, runs.bring_back):
        with pytest.raises(StoreError, match=f"There is no run 7 in {runs.root}"):
            call(7)
    assert runs.checkpoints(7) == runs.epochs_kept(7) == []


def test_settings_are_kept(runs):
    assert runs.setting("at_once", 2) == 2
    for value in (None, 5, {"a": [1]}):
        runs.set_setting("at_once", value)
        with contextlib.closing(Store(runs.root)) as other:
            assert other.setting("at_once", 2) == value


# Deleting


def test_a_deleted_run_is_out_of_sight_and_can_be_brought_back(runs):
    entered(runs, record("a", status="finished"), record("b", status="finished"))
    before = time.time()
    runs.delete(1)
    assert before <= runs.open(1).deleted <= time.time()
    assert runs.numbers() == [2]
    assert [one["name"] for one in runs.rows()] == ["b"]
    assert [one["name"] for one in runs.rows(deleted=True)] == ["a"]
    with pytest.raises(StoreError, match="Run 1 is deleted already"):
        runs.delete(1)
    runs.bring_back(1)
    assert runs.numbers() == [1, 2]
    assert runs.open(1).deleted is None
    with pytest.raises(StoreError, match="Run 1 is not deleted"):
        runs.bring_back(1)


# Begun and gone


def test_what_is_written_is_read_at_once(runs):
    number = entered(runs, record())
    for count in range(50):
        runs.describe(number, note=str(count))
        assert runs.open(number).note == str(count)


def test_a_run_that_cannot_begin_leaves_nothing_behind(runs):
    number = entered(runs, record(history=history(2)))
    runs.hold(number)
    runs.remove(number)
    assert runs.rows() == runs.rows(deleted=True) == []
    assert not (runs.root / str(number)).exists()
    assert runs.create(record()) == number + 1


# What a person has called a run


@pytest.mark.parametrize("when", ["under way", "over", "under way in another process"])
def test_a_folder_tells_what_a_person_has_called_the_run(runs, held, when):
    others = contextlib.closing(Store(runs.root)) if when == "under way in another process" else None
    with others or contextlib.nullcontext(runs) as other:
        if when == "over":
            runs.release(held.number)
        other.describe(held.number, **DESCRIBED)
    grow(held, 1)
    held.history.change({"pace": 5.0})
    if when != "over":
        runs.save(held)
    runs.release(held.number)
    found = manifest.read(runs.root / str(held.number))
    assert {"name": found.name, "note": found.note, "tags": found.tags} == DESCRIBED
    assert (found.created, found.first_recipe) == (held.created, held.first_recipe)
    assert found.history.changes == ([] if when == "over" else held.history.changes)
    runs.describe(held.number, note="")
    found = manifest.read(runs.root / str(held.number))
    assert (found.name, found.note, found.tags) == (DESCRIBED["name"], "", DESCRIBED["tags"])


def test_a_run_without_a_folder_is_given_none_by_its_note(runs):
    number = runs.create(record())
    runs.describe(number, **DESCRIBED)
    assert description(runs, number) == DESCRIBED
    assert not (runs.root / str(number)).exists()


@pytest.mark.parametrize("remove", [remove_database, cut_to_nothing])
def test_a_run_under_way_is_entered_again_with_what_a_person_has_called_it(runs, held, remove):
    runs.describe(held.number, **DESCRIBED)
    remove(runs)
    runs.save(held)
    assert description(runs, held.number) == DESCRIBED
    assert content(runs.open(held.number).history) == content(held.history)


def test_the_words_in_the_folder_of_another_run_are_not_taken(runs, held):
    runs.describe(held.number, **DESCRIBED)
    file = runs.root / str(held.number) / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"created": 5.0}))
    remove_database(runs)
    runs.save(held)
    assert description(runs, held.number) == {"name": "live", "note": "", "tags": ()}
