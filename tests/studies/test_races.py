import itertools
import math
import re

import numpy as np
import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.losses import MeanAbsoluteError
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.engine.job import Moment
from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.runs.records import Failure, Stored
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError, choices
from dlcore.studies.races import (
    MOST,
    Try,
    contestants,
    label,
    names_rate,
    ranking,
    rate,
    start,
    tries_epochs,
    tries_rates,
    tuning,
    verdict,
    with_rate,
)
from tests.running import CRAWL, MOONS, changed, finish, opened
from tests.waiting import wait_until

BASE = Recipe(data=Moons())
SAMPLES, NUMBERS = 200, itertools.count(1)


def problems_of(field):
    with pytest.raises(SettingsError) as caught:
        contestants(BASE, field)
    return [str(problem) for problem in caught.value.problems]


def finished(name, accuracies, losses=None, right=None, recipe=BASE, outcome="finished"):
    """A run that is over; `right` says which of the validation samples it had right in the end."""
    history = History()
    for number, value in enumerate(accuracies, 1):
        loss = losses[number - 1] if losses else 1.0
        history.add_epoch(Epoch(number, number * 10, loss, value, loss, value, 0.1, 1.0, 10.0))
    last = (accuracies[-1] if accuracies else 0) or 0
    right = np.arange(SAMPLES) < round(last * SAMPLES) if right is None else right
    return Moment(
        next(NUMBERS),
        name,
        recipe,
        history,
        race=1,
        status=outcome,
        failure=Failure("It broke.") if outcome == "failed" else None,
        targets=np.zeros(SAMPLES, dtype=int),
        predicted=np.where(right, 0, 1),
    )


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


# Learning rates


@pytest.mark.parametrize("kind", choices(Optimizer))
def test_a_contestant_races_at_the_recipes_rate_or_at_that_of_its_own_optimizer(kind):
    base = change(BASE, {"optimizer.lr": 0.07})
    for changes in ({"optimizer.kind": kind}, {"optimizer": kind}):
        assert change(base, with_rate(base, changes, "same")).optimizer.lr == 0.07
        own = change(base, with_rate(base, changes, "own")).optimizer
        assert (own.kind, own.lr) == (kind, choices(Optimizer)[kind]().lr)


def test_a_rate_that_a_contestant_names_is_left_alone():
    for changes in ({"optimizer.lr": 0.3}, {"optimizer": {"kind": "sgd", "lr": 0.3}}):
        assert names_rate(changes)
        for how in ("same", "own"):
            assert change(BASE, with_rate(BASE, changes, how)).optimizer.lr == 0.3
    assert not names_rate({"optimizer": {"kind": "sgd"}, "seed": 1})


def test_three_rates_are_tried_a_factor_of_ten_apart_as_far_as_they_are_allowed():
    at = lambda lr: tries_rates(change(BASE, {"optimizer.lr": lr}))  # noqa: E731
    assert at(0.001) == [0.0001, 0.001, 0.01]
    assert at(0.002) == [0.0002, 0.002, 0.02]
    assert at(5.0) == [0.5, 5, 10]
    assert at(10.0) == [1, 10]


@pytest.mark.parametrize(("epochs", "few"), [(1, 1), (4, 1), (5, 1), (10, 2), (99, 19)])
def test_a_try_takes_a_fifth_of_the_epochs(epochs, few):
    assert tries_epochs(change(BASE, {"epochs": epochs})) == few


@pytest.mark.parametrize(
    ("lr", "won", "told"),
    [
        (0.01, 2, "; it is the highest tried, so a higher one may be better still."),
        (0.01, 1, ")."),
        (0.01, 0, "; it is the lowest tried, so a lower one may be better still."),
        (10.0, 1, ")."),  # the highest that is allowed
    ],
)
def test_a_best_rate_at_an_end_of_those_tried_is_told_unless_no_other_is_allowed(conductor, lr, won, told):
    recipe = change(MOONS, {"optimizer.lr": lr})
    start(conductor, [("Adam", recipe), ("other", MOONS)], ["Adam"], pace=CRAWL)
    look, tried = tuning(conductor), tries_rates(recipe)
    look.tries["Adam"] = [Try(rate, place, "50.0% right", place == won) for place, rate in enumerate(tried)]
    assert look.told("Adam").endswith(told)
    assert look.told("Adam").count("tried") == (2 if ";" in told else 1)


TWO = [("Adam", changed(MOONS, epochs=10)), ("SGD", changed(MOONS, epochs=10, optimizer=SGD()))]


def test_each_races_at_the_best_of_three_rates(conductor):
    begun = start(conductor, TWO, ["Adam", "SGD"], pace=None)
    assert [job.name for job in begun] == ["Adam, rate 0.0001", "Adam, rate 0.001", "Adam, rate 0.01"]
    look = tuning(conductor)
    wait_until(lambda: not look.going)
    tries, racing = conductor.jobs[:6], conductor.jobs[6:]
    finish(*racing)
    assert [job.name for job in racing] == ["Adam", "SGD"]
    assert len({job.race for job in racing}) == 1
    assert look.race == racing[0].race
    for job, three in zip(racing, (tries[:3], tries[3:]), strict=True):
        assert len({one.race for one in three}) == 1
        assert {one.recipe.epochs for one in three} == {2}
        # By hand: the most right after the last epoch, and of those the lowest loss.
        best = min(three, key=lambda one: (-one.history.epochs[-1].val_accuracy, one.history.epochs[-1].val_loss))
        own = next(recipe for name, recipe in TWO if name == job.name)
        assert job.recipe == change(own, {"optimizer.lr": best.recipe.optimizer.lr})
        assert [one.won for one in look.tries[job.name]] == [one is best for one in three]
        assert [one.run for one in look.tries[job.name]] == [one.number for one in three]


def test_whose_rates_are_tried_and_with_which_jobs_is_of_one_moment(conductor, monkeypatch):
    race, seen = conductor.race, []

    def watched(*arguments, **how):
        stage = tuning(conductor).stage if tuning(conductor) else None
        begun = race(*arguments, **how)
        seen.append(stage and (stage.place, stage.name, [job.name for job in stage.jobs]))
        return begun

    monkeypatch.setattr(conductor, "race", watched)
    start(conductor, TWO, ["Adam", "SGD"])
    wait_until(lambda: not tuning(conductor).going)
    assert seen == [
        None,
        (1, "Adam", ["Adam, rate 0.0001", "Adam, rate 0.001", "Adam, rate 0.01"]),
        (2, "SGD", ["SGD, rate 0.001", "SGD, rate 0.01", "SGD, rate 0.1"]),
    ]


def test_tries_and_race_have_their_shares_of_the_work_by_their_epochs(conductor):
    field = [*TWO, ("Long", changed(MOONS, epochs=8))]
    start(conductor, field, ["Adam", "SGD"])  # of 10 epochs: three tries of 2 each
    wait_until(lambda: not tuning(conductor).going)
    assert list(tuning(conductor).spans.values()) == [(0, 6 / 40), (6 / 40, 12 / 40), (12 / 40, 1)]


def test_a_try_is_the_beginning_of_the_run_with_its_rate(conductor):
    start(conductor, TWO, ["SGD"])
    wait_until(lambda: not tuning(conductor).going)
    tries, racing = conductor.jobs[:3], conductor.jobs[3:]
    finish(*racing)
    (same,) = [one for one in tries if one.recipe.optimizer == racing[1].recipe.optimizer]
    assert same.history.losses.tolist() == racing[1].history.losses.tolist()[: same.history.steps]


def test_only_those_who_are_to_try_do_and_the_others_keep_their_rates(conductor):
    start(conductor, TWO, ["SGD"])
    wait_until(lambda: not tuning(conductor).going)
    names = [job.name for job in conductor.jobs]
    assert names == ["SGD, rate 0.001", "SGD, rate 0.01", "SGD, rate 0.1", "Adam", "SGD"]
    assert conductor.jobs[3].recipe == TWO[0][1]


def test_with_nobody_to_try_the_race_begins_at_once(conductor):
    assert [job.recipe for job in start(conductor, TWO)] == [recipe for _, recipe in TWO]
    assert tuning(conductor) is None


def test_a_stopped_try_ends_it_all(conductor):
    endless = [(name, changed(recipe, epochs=100_000)) for name, recipe in TWO]
    begun = start(conductor, endless, ["Adam", "SGD"])
    for job in begun:
        job.stop()
    wait_until(lambda: not tuning(conductor).going)
    assert conductor.jobs == begun
    assert tuning(conductor).race is None


def test_when_every_rate_fails_the_lowest_races(conductor):
    wild = changed(RECIPES["linear-regression"].recipe, epochs=1000)
    start(conductor, [("a", change(wild, {"optimizer.lr": 10.0})), ("b", wild)], ["a"])
    wait_until(lambda: not tuning(conductor).going)
    assert [job.status for job in conductor.jobs[:2]] == ["failed", "failed"]
    assert conductor.jobs[2].recipe.optimizer.lr == 1
    told = tuning(conductor).told("a")
    assert told.startswith(
        "Learning rate 1, the lowest of two tried for 200 epochs, since none came through: 1 (failed"
    )


def test_a_race_goes_on_though_what_was_tried_cannot_be_noted(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:

        def refuse(*_, **__):
            raise StoreError("The disk is full.")

        monkeypatch.setattr(conductor.store, "describe", refuse)
        start(conductor, TWO, ["SGD"])
        wait_until(lambda: not tuning(conductor).going)
        assert (tuning(conductor).race, tuning(conductor).problem) == (4, "The disk is full.")


def test_a_race_that_has_begun_is_held_by_nobody_who_tried_rates_for_it(conductor):
    start(conductor, TWO, ["SGD"])
    wait_until(lambda: not tuning(conductor).going)
    assert tuning(conductor).race
    assert tuning(conductor).stage is None


def test_the_pace_that_a_person_sets_on_the_way_is_kept(conductor):
    for job in start(conductor, TWO, ["Adam", "SGD"], paused=True):
        job.set_pace(1e6)
        job.resume()
    wait_until(lambda: not tuning(conductor).going)
    assert {job.pace for job in conductor.jobs} == {1e6}


def test_what_was_tried_is_kept_with_the_runs(tmp_path):
    with opened(tmp_path) as conductor:
        tries = start(conductor, TWO, ["SGD"])
        wait_until(lambda: not tuning(conductor).going)
        jobs = [*tries, *(job for job in conductor.jobs if job.race == tuning(conductor).race)]
        finish(*jobs)
        assert all(job.wait_saved(60) for job in jobs)
        told = tuning(conductor).told("SGD")
        kept = [conductor.store.open(job.number) for job in jobs]
        tries_group, race = conductor.store.group(1), conductor.store.group(4)
        assert [conductor.store.members(group.number) for group in (tries_group, race)] == [[1, 2, 3], [4, 5]]
    assert (tries_group.kind, tries_group.name, tries_group.parent) == ("tries", "SGD", race.number)
    assert tries_group.settings == {"rates": [0.001, 0.01, 0.1], "epochs": 2}
    assert (race.kind, race.parent) == ("race", None)
    assert [run.race for run in kept] == [None] * 3 + [4] * 2
    assert [run.tags for run in kept] == [("try",)] * 3 + [()] * 2
    assert [run.note for run in kept[3:]] == ["", told]
    assert told.startswith(f"Learning rate {kept[4].recipe.optimizer.lr:g}, the best of three tried for 2 epochs: ")
    for run in tries:
        share = f"{run.history.epochs[-1].val_accuracy:.1%} right"
        assert f"{run.recipe.optimizer.lr:g} ({share}, run {run.number})" in told


def test_closing_while_rates_are_tried_starts_no_race(tmp_path):
    with opened(tmp_path) as conductor:
        tries = start(conductor, [(name, changed(recipe, epochs=100_000)) for name, recipe in TWO], ["Adam", "SGD"])
        look = tuning(conductor)
    wait_until(lambda: not look.going)
    assert [job.status for job in tries] == ["interrupted"] * 3
    assert (look.stage.jobs, look.race) == (tries, None)


def test_a_store_that_fails_on_the_way_is_told(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        for job in start(conductor, TWO, ["SGD"], paused=True):

            def full(record, again=False):
                raise StoreError("It is full.")

            monkeypatch.setattr(conductor.store, "create", full)
            job.resume()
        look = tuning(conductor)
        wait_until(lambda: not look.going)
    assert (look.problem, look.race) == ("It is full.", None)
