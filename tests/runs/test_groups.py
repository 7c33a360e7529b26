import contextlib
import math
import time

import pytest

from dlcore.runs.groups import Group
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import entered, history, record, remove_database


def numbered(groups):
    return [group.number for group in groups]


def test_a_group_is_read_as_it_was_made(runs):
    settings, before = {"seeds": [1, 2], "note": "it's 😀", "deep": {"a": None}}, time.time()
    sweep = runs.create_group("sweep", "Ünïcödé '; DROP TABLE groups", settings)
    seeds = runs.create_group("seeds", "", {}, parent=sweep)
    found = runs.group(sweep)
    assert (found.kind, found.name, found.settings) == ("sweep", "Ünïcödé '; DROP TABLE groups", settings)
    assert before <= found.created <= time.time()
    assert runs.group(seeds) == Group(seeds, "seeds", "", {}, runs.group(seeds).created, sweep)
    assert numbered(runs.groups()) == [seeds, sweep]
    assert numbered(runs.groups("sweep")) == [sweep]
    assert runs.groups("folds") == []


def test_no_run_has_the_number_of_a_group(runs):
    assert [runs.create(record()), runs.create_group("seeds", "", {}), runs.create(record())] == [1, 2, 3]
    entered(runs, record("a", race=4), record("b", race=4))
    assert runs.create_group("seeds", "", {}) == 6
    with contextlib.closing(Store(runs.root)) as other:
        assert other.create(record()) == 7


def test_runs_join_a_group_and_leave_the_one_before(runs):
    first, second = runs.create_group("seeds", "one", {}), runs.create_group("folds", "two", {})
    entered(runs, record("a"), record("b"), record("c"))
    assert runs.numbers() == [3, 4, 5]
    runs.join(first, [3, 4, 5])
    runs.join(second, [4])
    runs.join(second, [4])
    assert (runs.members(first), runs.members(second)) == ([3, 5], [4])
    runs.delete(3)
    assert runs.members(first) == [5]
    runs.bring_back(3)
    runs.join(second, [3, 5])
    assert numbered(runs.groups()) == [second]  # the other has nobody left
    assert runs.open(3).race is None
    assert runs.race() == []


def test_contestants_make_the_group_of_their_race(runs):
    entered(runs, record("alone"), record("a", race=2, created=5.0), record("b", race=2, created=6.0))
    race = runs.group(2)
    assert (race.kind, race.name, race.settings, race.parent) == ("race", "", {}, None)
    assert runs.members(2) == runs.race() == [2, 3]
    assert [runs.open(number).race for number in runs.numbers()] == [None, 2, 2]
    assert [row["race"] for row in runs.rows()] == [2, 2, None]


def test_a_contestant_that_joined_a_group_stays_in_it_when_it_is_saved_again(runs):
    entered(runs, record("a", race=1), record("b", race=1))
    seeds = runs.create_group("seeds", "", {})
    runs.join(seeds, [2])
    again = record("b", race=1, history=history(1))
    again.number = 2
    runs.save(again)
    assert (runs.members(1), runs.members(seeds)) == ([1], [2])


def test_a_race_is_called_otherwise_before_and_after_it_is_saved(runs):
    first = record("a", race=1, status="training")
    first.number = runs.create(first)
    runs.describe_group(1, kind="tries", name="Adam", settings={"rates": [0.1]})
    runs.hold(1)
    runs.save(first)
    entered(runs, record("b", race=2), record("c", race=2))
    runs.describe_group(1, parent=2)
    tries = runs.group(1)
    assert (tries.kind, tries.name, tries.settings, tries.parent) == ("tries", "Adam", {"rates": [0.1]}, 2)
    assert runs.members(1) == [1]
    assert (runs.race(), runs.race(1)) == ([2, 3], [])
    assert runs.open(1).race is None


def test_a_race_whose_list_was_lost_is_entered_again_without_those_who_are_over(runs):
    entered(runs, record("over", race=1))
    one = record("live", race=1, history=history(1), status="training")
    one.number = runs.create(one)
    runs.hold(2)
    runs.save(one)
    remove_database(runs)
    runs.save(one)
    assert runs.race() == runs.members(1) == [2]


def test_a_group_goes_with_its_last_run_and_its_number_is_not_given_again(runs):
    entered(runs, record("a", race=1), record("b", race=1))
    seeds = runs.create_group("seeds", "", {}, parent=1)
    runs.remove(1)
    assert runs.members(1) == [2]
    runs.remove(2)
    assert numbered(runs.groups()) == [seeds]
    assert runs.group(seeds).parent is None
    assert runs.create(record()) == 4


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda runs: runs.group(7), "There is no group 7 in"),
        (lambda runs: runs.create_group("party", "", {}), "There is no group of kind 'party'; there are race, tries,"),
        (lambda runs: runs.create_group("seeds", "", {}, parent=7), "There is no group 7"),
        (lambda runs: runs.create_group("seeds", "", {"a": math.nan}), "settings cannot be kept as JSON"),
        (lambda runs: runs.create_group("seeds", "", {"a": object()}), "settings cannot be kept as JSON"),
        (lambda runs: runs.describe_group(7, name="x"), "There is no group 7"),
        (lambda runs: runs.describe_group(1, parent=7), "There is no group 7"),
        (lambda runs: runs.describe_group(1, kind="party"), "There is no group of kind 'party'"),
        (lambda runs: runs.describe_group(1, **{"number = 3 --": 1}), "A group has no number = 3 --"),
        (lambda runs: runs.join(7, [1]), "There is no group 7"),
        (lambda runs: runs.join(1, [2, 7]), "There is no run 7"),
    ],
)
def test_what_cannot_be_is_a_sentence_and_changes_nothing(runs, call, told):
    entered(runs, record("a", race=1), record("b"))
    before = runs.groups(), runs.rows()
    with pytest.raises(StoreError, match=told):
        call(runs)
    assert (runs.groups(), runs.rows()) == before
