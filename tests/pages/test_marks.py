"""Marks: what happened on the way of a run, as numbered flags."""

from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs.records import Branch, Stored
from pages.parts.marks import MOST_FLAGS, Mark, flags, marks

PER_EPOCH = 10


def run(*changes: Change, seconds: float = 5.0, **known) -> Stored:
    """Three epochs of ten steps, each of which took so many seconds, and half of the fourth."""
    rows = [
        Epoch(epoch, PER_EPOCH * epoch, 0.4, 0.8, 0.5, 0.75, 0.01, seconds * epoch, PER_EPOCH / seconds)
        for epoch in (1, 2, 3)
    ]
    history = History([1.0] * 35, rows, changes)
    return Stored(1, "run", Recipe(), history, steps_per_epoch=PER_EPOCH, stepping=3.5 * seconds, **known)


def test_changes_within_two_seconds_are_one_mark_at_the_first_of_them():
    moved = [Change(step, "optimizer.lr", step / 1000) for step in (10, 11, 12, 14)]  # half a second a step
    found = marks(run(*moved, Change(15, "model.dropout", 0.5), Change(33, "model.dropout", 0.25)))
    assert found == [
        Mark(1, 10, ("learning rate 0.014",)),  # what the slider came to
        Mark(2, 15, ("dropout 0.5",)),
        Mark(3, 33, ("dropout 0.25",)),
    ]
    assert [mark.step for mark in marks(run(*moved, seconds=50.0))] == [10, 11, 12, 14]


def test_a_pace_keeps_changes_apart_however_quickly_the_run_works():
    slow = (Change(0, "pace", 1.0), Change(5, "optimizer.lr", 0.1), Change(8, "optimizer.lr", 0.2))
    assert [mark.step for mark in marks(run(*slow, seconds=0.1))] == [5, 8]
    quick = (Change(0, "pace", 1.0), Change(4, "pace", None), *slow[1:])
    assert marks(run(*quick, seconds=0.1)) == [Mark(1, 4, ("full speed", "learning rate 0.2"))]


def test_what_a_parent_changed_is_marked_though_the_branch_has_no_such_setting():
    found = marks(run(Change(2, "optimizer.momentum", 0.5), branch=Branch(7, 1, 10)))  # of SGD, while it has Adam
    assert found == [Mark(1, 2, ("momentum 0.5",)), Mark(2, 10, ("branch of run 7",))]


def test_what_is_changed_before_the_first_step_has_no_mark():
    assert marks(run(Change(0, "optimizer.lr", 0.1))) == []


def test_the_latest_marks_are_drawn_and_keep_their_numbers():
    many = [Change(step, "optimizer.lr", 0.1) for step in range(1, 36)]
    drawn = flags(run(*many, seconds=100.0))
    assert len(drawn["shapes"]) == len(drawn["annotations"]) == MOST_FLAGS
    assert [note["text"] for note in drawn["annotations"]] == [str(number) for number in range(6, 36)]
