"""What is said of a race that is over, and that it claims no more than is known."""

import math
import re

import numpy as np
import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.losses import MeanAbsoluteError
from dlcore.catalogue.optimizers import Adam
from dlcore.history import Change, History
from dlcore.recipes import RECIPES
from dlcore.runs.records import Stored
from dlcore.studies.races import label, rate, verdict
from tests.studies.finishing import BASE, SAMPLES, finished


def from_store(job):
    """The same run as the store gives it, which keeps no answers."""
    return Stored(job.number, job.name, job.first_recipe, job.history, status=job.status, race=job.race)


def first(count, start=0):
    """The samples from `start` on, `count` of them."""
    return (np.arange(SAMPLES) >= start) & (np.arange(SAMPLES) < start + count)


def mcnemar(ahead, behind):
    """Two-sided exact test, added up by hand: both tails of a fair coin thrown ahead + behind times."""
    thrown = ahead + behind
    tail = sum(math.comb(thrown, k) for k in range(min(ahead, behind) + 1)) / 2**thrown
    return min(1.0, 2 * tail)


def test_a_clear_win_is_told_with_its_samples_and_its_chance():
    words = verdict([finished("slow", [0.5], right=first(100)), finished("quick", [0.9], right=first(180))])
    assert words.startswith("quick came first: 90.0% of the validation samples right after 1 epoch.")
    assert "slow came second with 50.0%" in words
    assert "Of 200 samples quick alone got 80 right, slow alone 0" in words
    assert "between two equally good networks chance would hardly do that (<0.1%)" in words
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
        assert f"two equally good networks {chance:.0%} of the time" in words
        assert "cannot be told apart" in words
    else:
        assert f"({chance:.1%})" in words
        assert "cannot be told apart" not in words


def test_the_test_speaks_of_two_networks_and_their_samples_and_of_nothing_more():
    for right in (first(180), first(101)):
        words = verdict([finished("one", [0.9], right=right), finished("two", [0.5], right=first(100))])
        assert "between two equally good networks" in words
        assert re.search("This is about these (two )?networks on these samples", words)
        assert "only repeated seeds can tell" in words
        assert "of races" not in words


def test_of_runs_whose_answers_are_not_kept_nothing_is_said_about_chance():
    one, two = finished("one", [0.9], right=first(180)), finished("two", [0.5], right=first(100))
    words = verdict([one, from_store(two)])
    assert words.startswith("one came first: 90.0% of the validation samples right after 1 epoch. two came second")
    assert "Which samples each got right is no longer known" in words
    assert "equally good networks" not in words
    assert verdict([from_store(one), from_store(two)]) == words


def test_the_verdict_names_the_rates():
    at = lambda lr: BASE.model_copy(update={"optimizer": Adam(lr=lr)})  # noqa: E731
    words = verdict([finished("one", [0.9], recipe=at(0.01)), finished("two", [0.5], recipe=at(0.0003))])
    assert "Their learning rates: one 0.01, two 0.0003." in words
    words = verdict([finished("one", [0.9], recipe=at(0.01)), finished("two", [0.5], recipe=at(0.01))])
    assert "All trained at the learning rate 0.01." in words
    names = [finished(f"Learning rate {lr:g}", [share], recipe=at(lr)) for lr, share in ((0.1, 0.9), (1e-5, 0.5))]
    assert "Their learning rates" not in verdict(names)
    assert [label(run) for run in names] == ["Learning rate 0.1", "Learning rate 1e-05"]


def test_a_rate_that_was_changed_on_the_way_is_told_with_what_it_was_before():
    run = Stored(1, "Adam", BASE, History(changes=[Change(0, "optimizer.lr", 0.25)]))
    assert rate(run) == "0.001, then 0.25"
    assert label(run) == "Adam · rate 0.001, then 0.25"


def test_who_cannot_be_told_apart_is_not_crowned():
    one, two = first(108), first(96) | first(6, start=150)
    words = verdict([finished("one", [0.54], right=one), finished("two", [0.51], right=two)])
    assert words.startswith(
        "one and two cannot be told apart on these samples: 54.0% and 51.0% of the validation samples right after "
        "1 epoch. The order in the table is by accuracy, then loss. Of 200 samples one alone got 12 right, "
        "two alone 6; chance gives such a gap between two equally good networks 24% of the time."
    )
    assert "only repeated seeds can tell" in words
    assert not re.search("came first|came second|tie", words)


def test_all_are_named_who_cannot_be_told_apart_from_the_best():
    near = [finished(name, [0.5], [loss], right=first(100, start=at)) for name, loss, at in
            (("c", 3, 20), ("b", 2, 10), ("a", 1, 0))]  # fmt: skip
    words = verdict([*near, finished("far", [0.1])])
    assert words.startswith("a, b and c cannot be told apart on these samples: 50.0%, 50.0% and 50.0% of")
    assert "Of 200 samples a alone got 10 right, b alone 10; chance" in words
    assert "Of 200 samples a alone got 20 right, c alone 20; chance" in words
    assert "far alone" not in words


def test_the_very_same_samples_right_cannot_be_told_apart():
    words = verdict([finished("one", [0.5], [0.2]), finished("two", [0.5], [0.3])])
    assert words.startswith("one and two cannot be told apart")
    assert "one and two got the very same samples right." in words


def test_regression_is_told_by_its_loss():
    recipe = RECIPES["linear-regression"].recipe
    words = verdict(
        [finished("a", [None, None], [3, 2.5], recipe=recipe), finished("b", [None], [0.125], recipe=recipe)]
    )
    assert words.startswith(
        "b came first: validation loss 0.125 after 1 epoch. a came second with validation loss 2.5; whether"
    )


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
        "a came first: 60.0% of the validation samples right after 2 epochs. "
        "All trained at the learning rate 0.001. broken left the race: It broke."
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
