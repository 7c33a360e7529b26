"""Who may race, and in which order they come in."""

import math

import pytest

from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from dlcore.studies.races import MOST, contestants, ranking, verdict
from tests.studies.finishing import BASE, finished

# Contestants


def problems_of(field):
    with pytest.raises(SettingsError) as caught:
        contestants(BASE, field)
    return [str(problem) for problem in caught.value.problems]


def test_contestants_keep_their_names_and_get_their_changes():
    found = contestants(BASE, [("fast", {"optimizer.lr": 0.1}), ("plain", {}), ("sgd", {"optimizer.kind": "sgd"})])
    assert [name for name, _ in found] == ["fast", "plain", "sgd"]
    assert [recipe.optimizer.lr for _, recipe in found] == [0.1, 0.001, 0.01]
    assert found[1][1] == BASE
    assert found[2][1].optimizer.kind == "sgd"


def test_a_name_that_is_there_twice_is_told():
    (text,) = problems_of([("adam", {}), ("sgd", {}), ("adam", {"optimizer.lr": 0.1})])
    assert "adam" in text
    assert "sgd" not in text
    assert "more than once" in text


@pytest.mark.parametrize("count", [0, 1, MOST + 1])
def test_too_few_or_too_many_contestants_are_told(count):
    (text,) = problems_of([(f"number {n}", {}) for n in range(count)])
    assert f"2 to {MOST}" in text
    assert str(count) in text


@pytest.mark.parametrize("count", [2, MOST])
def test_the_smallest_and_the_largest_race_are_allowed(count):
    assert len(contestants(BASE, [(f"number {n}", {}) for n in range(count)])) == count


def test_bad_values_of_all_contestants_are_told_at_once_each_with_its_name():
    texts = problems_of([("one", {"optimizer.lr": -1}), ("two", {"epochs": 0, "seed": -1}), ("three", {})])
    assert [text.split(":")[0] for text in texts] == ["one", "two", "two"]
    assert "optimizer.lr" in texts[0]


def test_bad_values_and_a_bad_field_are_told_together():
    texts = problems_of([("one", {"optimizer.lr": -1})])
    assert len(texts) == 2


def test_a_combination_that_cannot_run_is_told_with_the_name():
    (text,) = problems_of([("net", {"model.kind": "cnn"}), ("plain", {})])
    assert text.startswith("net: ")
    assert "pictures" in text


def test_a_name_is_neither_empty_nor_endless():
    for name in ("", "x" * 41):
        with pytest.raises(SettingsError, match="1 to 40 letters"):
            contestants(BASE, [(name, {}), ("b", {"seed": 1})])


# Ranking


def names(jobs):
    return [job.name for job in ranking(jobs)]


def test_the_higher_accuracy_of_the_last_epoch_comes_first():
    assert names([finished("a", [0.9, 0.5]), finished("b", [0.1, 0.8]), finished("c", [0.2, 0.7])]) == ["b", "c", "a"]


def test_the_lower_loss_decides_between_equal_accuracies():
    assert names([finished("a", [0.5], [0.4]), finished("b", [0.5], [0.3])]) == ["b", "a"]


def test_in_regression_the_loss_alone_decides():
    jobs = [finished(name, [None], [loss], recipe=RECIPES["linear-regression"].recipe) for name, loss in
            (("a", 2.0), ("b", 0.5), ("c", 1.0))]  # fmt: skip
    assert names(jobs) == ["b", "c", "a"]


def test_a_value_that_is_no_number_comes_last():
    recipe = RECIPES["linear-regression"].recipe
    for order in ((math.nan, 5.0, math.inf), (5.0, math.nan, math.inf), (math.inf, 5.0, math.nan)):
        jobs = [finished(f"{loss}", [None], [loss], recipe=recipe) for loss in order]
        assert names(jobs) == ["5.0", "inf", "nan"]
        words = verdict(jobs)
        assert words.startswith("5.0 came first")
        assert "nan came to nothing: its loss is not a number." in words
    assert names([finished("a", [0.9], [math.nan]), finished("b", [0.1], [2.0])]) == ["b", "a"]
    lost = [finished(name, [None], [math.nan], recipe=recipe) for name in "ab"]
    assert names(lost) == ["a", "b"]
    assert verdict(lost).startswith("Nobody came through.")


def test_who_failed_comes_last_even_with_the_best_epochs():
    jobs = [
        finished("broken", [0.99], outcome="failed"),
        finished("early", [], outcome="stopped"),
        finished("a", [0.1]),
    ]
    assert names(jobs) == ["a", "early", "broken"]


def test_complete_equals_keep_the_order_in_which_they_started():
    assert names([finished("b", [0.5]), finished("a", [0.5])]) == ["b", "a"]
