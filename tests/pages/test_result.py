"""The result of a run, as a figure and as a sentence."""

import numpy as np
import pytest

from dlcore.engine.job import Moment
from dlcore.history import History
from dlcore.recipes import RECIPES
from pages.parts.result import measured, sentence
from tests.runs.storing import row

DIGITS, LINE = RECIPES["digits"].recipe, RECIPES["linear-regression"].recipe
TARGETS = np.array([0, 1, 2, 3, 4, 5, 6, 4, 9, 9])


def moment(recipe, predicted, targets=TARGETS, status="training", **known):
    history = History([0.5] * 10, [row(1)])
    return Moment(
        number=1,
        name="run",
        first_recipe=recipe,
        history=history,
        status=status,
        targets=targets,
        predicted=predicted,
        **known,
    )


def test_a_classifier_is_measured_by_what_is_right_beside_guessing():
    wrong = TARGETS.copy()
    wrong[:3] = 9
    assert measured(moment(DIGITS, wrong), DIGITS) == ("70.0%", "right", "3 of 10 wrong · guessing: 20%")


@pytest.mark.parametrize("run", [None, moment(DIGITS, None, targets=None)])
def test_before_the_first_epoch_there_is_only_what_guessing_gives(run):
    assert measured(run, DIGITS) == ("–", "right", "guessing: 10%")


def test_numbers_are_measured_by_how_far_off_they_are():
    targets = np.array([[2.0], [4.0], [6.0], [8.0]], np.float32)
    shown = measured(moment(LINE, targets + np.array([[1], [-1], [1], [-1]]), targets), LINE)
    assert shown == ("1", "off", "root mean square · guessing the mean: 2.24")  # the root of 5


def test_values_that_a_diverging_run_gives_are_no_error():
    targets = np.array([[2.0], [4.0]], np.float32)
    assert measured(moment(LINE, np.full((2, 1), np.float32(3e38)), targets), LINE).figure == "3e+38"
    assert measured(moment(LINE, np.full((2, 1), np.inf), targets), LINE).figure == "inf"


def test_a_network_that_saw_nothing_yet_invites_to_start():
    assert sentence(None, DIGITS).startswith("This network has never seen a digit. Press **Start**")
    assert sentence(None, LINE).startswith("This network has never seen these data.")


def test_a_run_under_way_says_what_is_mistaken_for_what_most_often():
    predicted = TARGETS.copy()
    predicted[[4, 7]] = 9
    predicted[0] = 8
    assert sentence(moment(DIGITS, predicted), DIGITS) == "Epoch 1: it still takes 4 for 9."
    assert sentence(moment(DIGITS, TARGETS), DIGITS) == "Epoch 1: it gets every validation sample right."
    assert sentence(moment(DIGITS, None), DIGITS) == ""


@pytest.mark.parametrize(("elapsed", "words"), [(0.42, "0.4 s"), (17.2, "17 s"), (750, "12:30")])
def test_a_run_that_is_done_says_how_long_it_took(elapsed, words):
    over = moment(DIGITS, TARGETS, status="finished", elapsed=elapsed)
    assert sentence(over, DIGITS) == f"Done in {words}."
