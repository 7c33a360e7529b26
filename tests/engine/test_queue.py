"""Who begins when: pure functions of what waits."""

from typing import NamedTuple

import pytest

from dlcore.engine.queue import admit, moved


class One(NamedTuple):
    name: str
    group: int
    in_turn: bool = False


A, B, C = One("a", 1), One("b", 2), One("c", 3)
RACE = [One("x", 4), One("y", 4)]
LAST = One("last", 5, in_turn=True)


@pytest.mark.parametrize(("at_once", "begun"), [(None, 3), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_as_many_begin_as_there_are_places_in_their_order(at_once, begun):
    queue = [[A], [B], [C]]
    assert admit(queue, [], at_once) == (queue[:begun], queue[begun:])


def test_a_race_takes_one_place_whatever_its_size():
    assert admit([RACE, [A], [B]], [], 2) == ([RACE, [A]], [[B]])


def test_who_is_under_way_holds_its_place():
    assert admit([[A], [B]], [7], 2) == ([[A]], [[B]])
    assert admit([[A], [B]], [7, 8], 2) == ([], [[A], [B]])


def test_who_joins_a_group_that_has_its_place_needs_none():
    assert admit([[A], RACE], [4], 1) == ([RACE], [[A]])


def test_what_begins_in_its_turn_waits_until_nothing_else_is_under_way_and_holds_up_nobody():
    assert admit([[LAST], [A]], [], None) == ([[LAST], [A]], [])
    assert admit([[A], [LAST], [B]], [], None) == ([[A], [B]], [[LAST]])
    assert admit([[LAST]], [7], None) == ([], [[LAST]])
    assert admit([[LAST]], [], 1) == ([[LAST]], [])


@pytest.mark.parametrize(("places", "order"), [(-1, "bac"), (1, "acb"), (-9, "bac"), (9, "acb"), (0, "abc")])
def test_one_is_moved_towards_the_front_or_the_back(places, order):
    queue = [[A], [B], [C]]
    assert "".join(one.name for (one,) in moved(queue, B, places)) == order
    assert queue == [[A], [B], [C]]


def test_a_contestant_is_moved_with_its_race_and_who_does_not_wait_is_not_moved():
    assert moved([[A], RACE], RACE[1], -1) == [RACE, [A]]
    assert moved([[A], RACE], B, -1) == [[A], RACE]
