import platform

import numpy as np
import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs.records import (
    LONGEST_NAME,
    LONGEST_NOTE,
    LONGEST_TAG,
    MOST_TAGS,
    Branch,
    Stored,
    branch_name,
    checked_name,
    checked_note,
    checked_tags,
    environment,
)
from dlcore.settings import SettingsError
from tests.running import MOONS, changed

GRINNING = "😀"
HALF = "\ud83d"  # of a grinning face


def run(steps=0, changes=(), **known):
    epochs = [Epoch(number, number * 4, 1, 1, 1, 1, 0.1, 1, 1) for number in range(1, steps // 4 + 1)]
    recipe = known.pop("recipe", MOONS)
    return Stored(1, "moons", recipe, History(np.zeros(steps), epochs, changes), **known)


# The recipe on its way


def test_a_recipe_without_changes_is_the_first():
    assert run(5).recipe == run(5).recipe_at(3) == MOONS


def test_changes_are_made_at_their_steps():
    made = [
        Change(2, "optimizer.lr", 0.5),
        Change(4, "pace", 3.0),
        Change(4, "epochs", 9),
        Change(6, "optimizer.lr", 0.25),
    ]
    one = run(8, made)
    rates = [one.recipe_at(step).optimizer.lr for step in range(9)]
    assert rates == [0.001, 0.001, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert [one.recipe_at(step).epochs for step in (3, 4, 8)] == [3, 9, 9]
    assert one.recipe == one.recipe_at(8)
    assert one.first_recipe == MOONS


def test_changes_still_to_come_are_not_made_yet():
    """A run that is repeated from an earlier place has them before it."""
    one = run(4, [Change(2, "optimizer.lr", 0.5), Change(6, "optimizer.lr", 0.25)])
    assert one.recipe.optimizer.lr == 0.5


def test_the_last_of_several_changes_at_a_step_wins():
    one = run(4, [Change(2, "optimizer.lr", 0.5), Change(2, "optimizer.lr", 0.125)])
    assert one.recipe.optimizer.lr == 0.125


def test_what_a_parent_changed_before_is_in_a_branchs_own_recipe():
    made = [Change(2, "optimizer.momentum", 0.25), Change(8, "epochs", 7), Change(9, "optimizer.lr", 0.5)]
    recipe = changed(MOONS, optimizer=SGD(lr=0.125, momentum=0.75))
    one = run(12, made, recipe=recipe, branch=Branch(1, 2, 8))
    assert one.recipe.optimizer == SGD(lr=0.5, momentum=0.75)
    assert one.recipe.epochs == 7
    assert one.recipe_at(8).optimizer == recipe.optimizer
    other = changed(MOONS, optimizer=Adam())  # which has no momentum
    assert run(8, made[:1], recipe=other, branch=Branch(1, 2, 8)).recipe == other


def test_a_changed_recipe_of_another_machine_can_be_looked_at(monkeypatch):
    monkeypatch.setattr("dlcore.catalogue.devices.available", lambda: ("cpu",))
    one = run(4, [Change(2, "optimizer.lr", 0.5)], recipe=changed(MOONS, device="cuda"))
    assert (one.recipe.device, one.recipe.optimizer.lr) == ("cuda", 0.5)


# Progress


@pytest.mark.parametrize(("steps", "epoch"), [(0, 0), (1, 1), (4, 1), (5, 2), (12, 3)])
def test_the_epoch_is_that_of_the_last_step(steps, epoch):
    one = run(steps, steps_per_epoch=4)
    assert (one.epoch, one.total_steps, one.progress) == (epoch, 12, steps / 12)


@pytest.mark.parametrize(("steps", "epoch"), [(8, 2), (9, 3), (18, 3), (19, 4)])
def test_the_epoch_of_a_branch_with_other_batches_goes_on_from_its_parents(steps, epoch):
    # The parent took 8 steps for 2 epochs; now an epoch has 10.
    one = run(steps, steps_per_epoch=10, offset=8 - 2 * 10, branch=Branch(1, 2, 8), recipe=changed(MOONS, epochs=5))
    assert one.epoch == epoch
    assert one.total_steps == 8 + 3 * 10
    assert one.progress == steps / 38


def test_before_the_data_are_there_nothing_is_known():
    one = run(0)
    assert (one.epoch, one.total_steps, one.progress, one.remaining, one.steps_per_second) == (0, 0, 0, None, 0)


def test_the_time_to_go_is_by_the_speed_so_far():
    one = run(3, steps_per_epoch=4, status="training", elapsed=6.0, stepping=2.0)
    assert one.remaining == pytest.approx(18)
    assert one.steps_per_second == 0.5
    assert run(3, steps_per_epoch=4, status="stopped", elapsed=6.0).remaining is None


# Words of people


@pytest.mark.parametrize(
    "name", ["a", "x" * LONGEST_NAME, "a/b", 'it\'s "it"', f"{GRINNING} Ünïcödé", "a\u200db", "数"]
)
def test_a_name_is_a_line_of_text(name):
    assert checked_name(name) == name
    assert checked_name(f"  {name}\t") == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "this one has 0."),
        ("   ", "this one has 0."),
        ("x" * 101, "this one has 101."),
        ("x" * 10_000, "this one has 10,000."),
        ("a\nb", "this one has 3, some of them not printable."),
        ("a\x00b", "some of them not printable."),
        ("a\x7fb", "some of them not printable."),
        (f"a{HALF}b", "some of them not printable."),
    ],
)
def test_what_is_no_name_is_answered_with_what_is(name, told):
    with pytest.raises(SettingsError) as caught:
        checked_name(name)
    (problem,) = caught.value.problems
    assert problem.setting == "name"
    assert problem.text.startswith("A run's name is one line of 1 to 100 letters; this one has")
    assert problem.text.endswith(told)
    problem.text.encode()


@pytest.mark.parametrize("parent", ["a", "x" * LONGEST_NAME, GRINNING * LONGEST_NAME])
def test_a_branch_is_called_after_its_parent_and_its_epoch(parent):
    name = branch_name(parent, 12345)
    assert checked_name(name) == name
    assert name.endswith(", from epoch 12345")
    assert name.startswith(parent[:80])


def test_a_note_may_have_lines():
    note = f"First.\n\tSecond {GRINNING}.\n" + "x" * (LONGEST_NOTE - 18)
    assert checked_note(note) == note
    assert checked_note("") == ""
    for bad in ("x" * (LONGEST_NOTE + 1), "a\x00", f"a{HALF}", "a\x1b[31m"):
        with pytest.raises(SettingsError, match="A note has at most 10,000 printable letters; this one has"):
            checked_note(bad)


def test_tags_are_stripped_and_there_once_in_their_order():
    assert checked_tags([" b ", "a", "b", "", "  ", GRINNING]) == ("b", "a", GRINNING)
    many = [str(number) for number in range(MOST_TAGS)]
    assert checked_tags([*many, "x" * 0, "3"]) == tuple(many)
    assert checked_tags(["x" * LONGEST_TAG]) == ("x" * LONGEST_TAG,)
    for bad in ([*many, "one more"], ["x" * (LONGEST_TAG + 1)], ["a\nb"], [HALF]):
        with pytest.raises(SettingsError, match=r"at most 20 tags of 1 to 40 printable letters\."):
            checked_tags(bad)


def test_the_environment_names_what_numbers_hang_on():
    found = environment("cpu")
    assert found["python"] == platform.python_version()
    assert found.keys() == {"python", "torch", "numpy", "system", "device"}
    assert all(found.values())
    assert isinstance(Recipe(data=Moons()), Recipe)
