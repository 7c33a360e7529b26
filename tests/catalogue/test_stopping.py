import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcore.catalogue.datasets import Line, Moons
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.catalogue.optimizers import SGD
from dlcore.catalogue.stopping import Stopping
from dlcore.history import Epoch, History
from dlcore.recipe import Recipe, read
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from tests.running import ENDLESS, MOONS, changed, finish
from tests.waiting import wait_until

LINE = RECIPES["linear-regression"].recipe


def epochs(losses, accuracies=None):
    accuracies = accuracies or [0.5] * len(losses)
    rows = [
        Epoch(number, number * 10, 1.0, 0.5, loss, accuracy, 0.1, 1.0, 1.0)
        for number, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), 1)
    ]
    return History(epochs=rows)


def ended(conductor, recipe, **rules):
    job = conductor.submit("moons", changed(recipe, stop=Stopping(**rules)))
    finish(job)
    return job


# After an epoch


def test_usually_nothing_ends_a_run_early():
    for losses in ([], [1.0], [1.0] * 1000, [math.nan] * 5):
        assert Stopping().after_epoch(epochs(losses)) == ""
    assert Stopping().out_of_time(1e9) == ""
    assert Stopping(accuracy=0.0, patience=0, minutes=0.0).after_epoch(epochs([1.0], [1.0])) == ""


@pytest.mark.parametrize(
    ("accuracy", "ends"), [(0.0, False), (0.8999, False), (0.9, True), (0.95, True), (1.0, True), (None, False)]
)
def test_the_target_is_reached_when_the_last_epoch_has_it(accuracy, ends):
    found = Stopping(accuracy=0.9).after_epoch(epochs([1.0, 1.0], [0.99, accuracy]))
    assert bool(found) == ends
    if ends:
        assert found == f"validation accuracy reached {accuracy:.2%}, the target was 90.00%"


def patient(losses, patience):
    """By hand: how many epochs in a row, up to the last, brought no new lowest loss."""
    lowest, waited = math.inf, 0
    for loss in losses:
        if loss < lowest:
            lowest, waited = loss, 0
        else:
            waited += 1
    return waited >= patience


LOSSES = st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan, math.inf]) | st.floats(0, 1)


@given(st.lists(LOSSES, max_size=11), st.integers(1, 5))
def test_patience_counts_the_epochs_without_a_new_lowest_loss(losses, patience):
    losses = [0.5, *losses]
    for length in range(1, len(losses) + 1):
        reason = Stopping(patience=patience).after_epoch(epochs(losses[:length]))
        assert bool(reason) == patient(losses[:length], patience)


def test_patience_names_the_epoch_of_the_lowest_loss():
    assert Stopping(patience=2).after_epoch(epochs([0.5, 0.25, 0.25, 0.5])) == (
        "validation loss has not fallen since epoch 2"
    )


def test_a_loss_that_is_no_number_never_counts_as_low():
    rules = Stopping(patience=2)
    assert rules.after_epoch(epochs([1.0, math.nan, 0.5, math.nan])) == ""
    assert rules.after_epoch(epochs([1.0, math.nan, math.inf])) == "validation loss has not fallen since epoch 1"
    assert rules.after_epoch(epochs([math.nan, math.nan])) == ""
    assert rules.after_epoch(epochs([math.nan, math.nan, math.nan]))


@pytest.mark.parametrize(("seconds", "ends"), [(0, False), (89.9, False), (90, True), (1e6, True)])
def test_the_time_budget_is_in_minutes(seconds, ends):
    assert bool(Stopping(minutes=1.5).out_of_time(seconds)) == ends
    assert Stopping(minutes=1.5).out_of_time(1e6) == "its 1.5 minutes are over"


# As settings


def test_regression_has_no_accuracy_to_reach():
    (problem,) = changed(LINE, stop=Stopping(accuracy=0.9)).problems()
    assert problem.setting == "stop.accuracy"
    for words in ("stop.accuracy is 0.9", "line", "set it to 0", "stop.patience"):
        assert words in problem.text
    assert changed(LINE, stop=Stopping(patience=3, minutes=1.0)).problems() == []
    assert changed(MOONS, stop=Stopping(accuracy=0.9)).problems() == []


@pytest.mark.parametrize(
    "rules", [{"accuracy": -0.1}, {"accuracy": 1.1}, {"patience": -1}, {"patience": 1.5}, {"minutes": -1}, {"x": 1}]
)
def test_rules_that_cannot_be_are_refused(rules):
    with pytest.raises(SettingsError, match=r"stop\."):
        read(json.dumps({"stop": rules}))


# As they end runs


def test_a_run_ends_once_its_target_is_reached(conductor):
    job = ended(conductor, ENDLESS, accuracy=0.8)
    rows = job.history.epochs
    assert job.status == "finished"
    assert rows[-1].val_accuracy >= 0.8
    assert all(row.val_accuracy < 0.8 for row in rows[:-1])
    assert job.reason == f"validation accuracy reached {rows[-1].val_accuracy:.2%}, the target was 80.00%"
    assert job.history.steps == rows[-1].step


def test_a_run_ends_when_patience_is_over(conductor):
    job = ended(conductor, changed(ENDLESS, optimizer=SGD(lr=5.0)), patience=3)
    losses = [row.val_loss for row in job.history.epochs]
    assert patient(losses, 3)
    assert not any(patient(losses[:length], 3) for length in range(1, len(losses)))
    assert job.reason.startswith("validation loss has not fallen since epoch")


def test_regression_ends_by_its_loss(conductor):
    job = ended(conductor, changed(LINE, epochs=100000, optimizer=SGD(lr=0.11)), patience=5)
    losses = [row.val_loss for row in job.history.epochs]
    assert (job.status, patient(losses, 5), patient(losses[:-1], 5)) == ("finished", True, False)


def test_a_run_ends_when_its_time_is_over(conductor):
    job = ended(conductor, ENDLESS, minutes=0.005)
    assert (job.status, job.reason) == ("finished", "its 0.005 minutes are over")
    assert job.elapsed >= 0.3
    assert 0 < job.history.steps < job.total_steps


def test_pauses_do_not_count_as_time(conductor):
    job = conductor.submit("moons", changed(ENDLESS, stop=Stopping(minutes=0.005)), paused=True)
    wait_until(lambda: job.ready)
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() > begun + 0.5)  # longer than the budget
    assert (job.status, job.elapsed) == ("paused", 0)
    job.resume()
    finish(job)
    assert job.reason == "its 0.005 minutes are over"
    assert job.elapsed >= 0.3


def test_the_time_to_go_heeds_the_budget(conductor):
    job = conductor.submit("moons", changed(ENDLESS, stop=Stopping(minutes=50.0)))
    wait_until(lambda: job.history.steps)
    assert 0 < job.remaining <= 50 * 60


DIVERGING = Recipe(data=Line(), model=LINE.model, loss=MeanSquaredError(), optimizer=SGD(lr=9.0), epochs=200)


def test_a_loss_that_is_no_number_ends_the_run_as_failed(conductor):
    job = ended(conductor, DIVERGING)
    assert job.status == "failed"
    assert "The loss stopped being a finite number at step" in job.failure.text
    last = job.history.epochs[-1]
    assert not math.isfinite(job.history.losses[-1] + last.train_loss + last.val_loss)


def test_a_loss_that_is_no_number_is_let_be_when_asked(conductor):
    job = ended(conductor, DIVERGING, not_a_number=False)
    assert (job.status, len(job.history.epochs)) == ("finished", 200)
    assert not math.isfinite(job.history.epochs[-1].val_loss)


def test_the_first_rule_that_holds_is_the_reason(conductor):
    job = ended(conductor, ENDLESS, accuracy=0.01, patience=1, minutes=100.0)
    assert (len(job.history.epochs), job.reason.split()[1]) == (1, "accuracy")


def test_data_is_known_to_the_rules():
    assert Stopping(accuracy=0.5).problems(Moons()) == []
    assert len(Stopping(accuracy=0.5).problems(Line())) == 1
