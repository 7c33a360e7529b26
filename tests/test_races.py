import math

import numpy as np
import pytest

from dlcore.datasets import Moons
from dlcore.history import Epoch
from dlcore.jobs import Conductor, Failure, Job
from dlcore.losses import MeanAbsoluteError
from dlcore.races import MOST, contestants, ranking, verdict
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError

BASE = Recipe(data=Moons())
SAMPLES = 200


def problems_of(field):
    with pytest.raises(SettingsError) as caught:
        contestants(BASE, field)
    return [str(problem) for problem in caught.value.problems]


def finished(name, accuracies, losses=None, right=None, recipe=BASE, outcome="finished"):
    """A job that is over; `right` says which of the validation samples it had right in the end."""
    job = Job(Conductor(), name, recipe, 1, None)
    for number, value in enumerate(accuracies, 1):
        loss = losses[number - 1] if losses else 1.0
        job.history.add_epoch(Epoch(number, number * 10, loss, value, loss, value, 0.1, 1.0, 10.0))
    job.targets = np.zeros(SAMPLES, dtype=int)
    last = (accuracies[-1] if accuracies else 0) or 0
    right = np.arange(SAMPLES) < round(last * SAMPLES) if right is None else right
    job.predicted = np.where(right, 0, 1)
    job._end(outcome, Failure("It broke.") if outcome == "failed" else None)
    return job


def first(count, start=0):
    """The samples from `start` on, `count` of them."""
    return (np.arange(SAMPLES) >= start) & (np.arange(SAMPLES) < start + count)


def mcnemar(ahead, behind):
    """Two-sided exact test, added up by hand: both tails of a fair coin thrown ahead + behind times."""
    thrown = ahead + behind
    tail = sum(math.comb(thrown, k) for k in range(min(ahead, behind) + 1)) / 2**thrown
    return min(1.0, 2 * tail)


# Contestants


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


def test_who_failed_comes_last_even_with_the_best_epochs():
    jobs = [
        finished("broken", [0.99], outcome="failed"),
        finished("early", [], outcome="stopped"),
        finished("a", [0.1]),
    ]
    assert names(jobs) == ["a", "early", "broken"]


def test_complete_equals_keep_the_order_in_which_they_started():
    assert names([finished("b", [0.5]), finished("a", [0.5])]) == ["b", "a"]


def test_a_name_is_neither_empty_nor_endless():
    for name in ("", "x" * 41):
        with pytest.raises(SettingsError, match="1 to 40 letters"):
            contestants(BASE, [(name, {}), ("b", {"seed": 1})])


# Verdict


def test_a_clear_win_is_told_with_its_samples_and_its_chance():
    words = verdict([finished("slow", [0.5], right=first(100)), finished("quick", [0.9], right=first(180))])
    assert words.startswith("quick came first: 90.0% of the validation samples right after 1 epoch.")
    assert "slow came second with 50.0%" in words
    assert "Of 200 samples quick alone got 80 right, slow alone 0" in words
    assert "would hardly do that (<0.1%)" in words
    assert "tie" not in words


@pytest.mark.parametrize(("ahead", "behind"), [(12, 8), (6, 1), (7, 1), (15, 5), (5, 0), (6, 0), (30, 29), (1, 0)])
def test_the_chance_is_that_of_mcnemars_exact_test(ahead, behind):
    # 50 samples that both have right, then those that only one has.
    one = first(50 + ahead)
    two = first(50) | first(behind, start=100)
    jobs = [finished("one", [(50 + ahead) / SAMPLES], right=one), finished("two", [(50 + behind) / SAMPLES], right=two)]
    words, chance = verdict(jobs), mcnemar(ahead, behind)
    assert f"Of {SAMPLES} samples one alone got {ahead} right, two alone {behind}" in words
    if chance > 0.05:
        assert f"in {chance:.0%} of races, so call it a tie" in words
    else:
        assert f"({chance:.1%})" in words
        assert "tie" not in words


def test_the_very_same_samples_right_is_a_tie():
    words = verdict([finished("one", [0.5], [0.2]), finished("two", [0.5], [0.3])])
    assert "one came first" in words
    assert "the very same samples right: a tie" in words


def test_regression_is_told_by_its_loss():
    recipe = RECIPES["linear-regression"].recipe
    words = verdict(
        [finished("a", [None, None], [3, 2.5], recipe=recipe), finished("b", [None], [0.125], recipe=recipe)]
    )
    assert words == "b came first: validation loss 0.125 after 1 epoch. a came second with validation loss 2.5."


def test_figures_that_are_not_measured_alike_are_told_so():
    recipe = RECIPES["linear-regression"].recipe
    other = recipe.model_copy(update={"loss": MeanAbsoluteError()})
    words = verdict([finished("a", [None], [3.0], recipe=recipe), finished("b", [None], [0.5], recipe=other)])
    assert "not measured alike" in words


def test_classifiers_on_different_data_are_not_tested_against_each_other():
    other = BASE.model_copy(update={"data": Moons(noise=0.3)})
    words = verdict([finished("a", [0.9]), finished("b", [0.5], recipe=other)])
    assert "not measured alike" in words
    assert "chance" not in words


def test_who_failed_left_the_race_and_the_others_are_ranked():
    words = verdict([finished("a", [0.5]), finished("broken", [0.9], outcome="failed"), finished("b", [0.9])])
    assert "b came first" in words
    assert "a came second" in words
    assert words.endswith("broken left the race: It broke.")


def test_with_one_left_nobody_is_second():
    words = verdict([finished("a", [0.5, 0.6]), finished("broken", [], outcome="failed")])
    assert words == (
        "a came first: 60.0% of the validation samples right after 2 epochs. broken left the race: It broke."
    )


def test_when_all_failed_nobody_came_through():
    words = verdict([finished("a", [], outcome="failed"), finished("b", [0.5], outcome="failed")])
    assert words.startswith("Nobody came through.")
    assert "a left the race: It broke." in words
    assert "b left the race: It broke." in words


def test_the_quickest_is_the_first_within_a_point_of_the_best_accuracy():
    words = verdict([finished("steady", [0.5, 0.7, 0.9]), finished("early", [0.5, 0.895, 0.88])])
    assert "Quickest to 89.0%: early, in epoch 2." in words


def test_two_who_are_equally_quick_are_both_named():
    words = verdict([finished("a", [0.5, 0.9]), finished("b", [0.5, 0.9])])
    assert "Quickest to 89.0%: a and b, in epoch 2." in words
