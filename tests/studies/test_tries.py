"""Contestants' learning rates: the recipe's, their own, or the best of those tried."""

import pytest

from dlcore.catalogue.optimizers import SGD, Optimizer
from dlcore.recipe import change
from dlcore.recipes import RECIPES
from dlcore.runs.store import StoreError
from dlcore.settings import choices
from dlcore.studies.races import names_rate, with_rate
from dlcore.studies.tries import Try, start, tries_epochs, tries_rates, tuning
from tests.running import CRAWL, MOONS, changed, finish, opened
from tests.studies.finishing import BASE
from tests.waiting import wait_until


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


# Tries, and the race after them


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
