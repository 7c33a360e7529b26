import json
import tracemalloc

import numpy as np
import pytest
import torch

from dlcore.curve import Curve
from dlcore.history import LOST, MEASURES, PENDING, Change, Epoch, History


def epoch(number, val_loss=1.0, val_accuracy=0.5):
    return Epoch(number, number * 10, 1.0, 0.5, val_loss, val_accuracy, 0.1, 1.0, 100.0)


def filled(losses):
    history = History()
    for loss in losses:
        history.add_step(torch.tensor(loss))
    return history


def test_a_new_history_is_empty():
    history = History()
    assert history.losses.shape == (0,)
    assert history.losses.dtype == np.float32
    assert (history.steps, history.best, history.rows(), history.first_bad_step) == (0, None, [], None)


@pytest.mark.parametrize("count", [1, PENDING - 1, PENDING, PENDING + 1, 3 * PENDING + 7])
def test_every_loss_is_kept_in_order(count):
    values = np.random.default_rng(0).random(count).astype(np.float32)
    history = filled(values.tolist())
    assert history.steps == count
    np.testing.assert_array_equal(history.losses, values)
    np.testing.assert_array_equal(history.losses, values)  # reading takes nothing away


def test_losses_stay_unread_until_many_wait_or_someone_asks():
    history = filled([1.0] * (PENDING - 1))
    assert len(history._pending) == PENDING - 1
    history.add_step(torch.tensor(1.0))
    assert not history._pending


def test_losses_in_bfloat16_are_read_too():
    history = History()
    history.add_step(torch.tensor(0.5, dtype=torch.bfloat16))
    history.add_step(torch.tensor(0.25, dtype=torch.bfloat16))
    assert history.losses.tolist() == [0.5, 0.25]


def test_what_was_handed_out_does_not_change_later():
    history = filled([1.0])
    before = history.losses
    history.add_step(torch.tensor(2.0))
    assert history.losses.tolist() == [1.0, 2.0]
    assert before.tolist() == [1.0]
    with pytest.raises(ValueError, match="read-only"):
        before[0] = 9


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [1, 3, PENDING, PENDING + 5])
def test_the_first_loss_that_is_no_number_is_found(bad, place):
    losses = [1.0] * (PENDING + 10)
    losses[place - 1] = losses[place + 2] = bad
    history = filled(losses)
    history.settle()
    assert history.first_bad_step == place


def test_the_best_epoch_has_the_highest_validation_accuracy():
    history = History()
    for row in (epoch(1, 0.3, 0.8), epoch(2, 0.9, 0.9), epoch(3, 0.1, 0.7)):
        history.add_epoch(row)
    assert history.best.epoch == 2


def test_the_lowest_loss_decides_between_epochs_of_equal_accuracy():
    history = History()
    for row in (epoch(1, 0.5, 0.9), epoch(2, 0.3, 0.9), epoch(3, 0.4, 0.9)):
        history.add_epoch(row)
    assert history.best.epoch == 2


def test_the_best_epoch_of_a_regression_has_the_lowest_loss():
    history = History()
    for row in (epoch(1, 0.5, None), epoch(2, 0.2, None), epoch(3, 0.4, None)):
        history.add_epoch(row)
    assert history.best.epoch == 2


def test_rows_go_to_json_and_back():
    history = History()
    history.add_epoch(epoch(1))
    history.add_epoch(epoch(2, val_accuracy=None))
    assert [Epoch(**row) for row in json.loads(json.dumps(history.rows()))] == history.epochs


def test_every_measure_of_the_epochs_is_a_curve():
    history = History(epochs=[epoch(1, 0.5, None), epoch(2, 0.25, 0.75)])
    history.add_epoch(epoch(3, 0.125, 0.5))
    assert history.columns["val_loss"].values.tolist() == [0.5, 0.25, 0.125]
    np.testing.assert_array_equal(history.columns["val_accuracy"].values, [np.nan, 0.75, 0.5])
    assert set(history.columns) <= set(Epoch.__dataclass_fields__)


def test_epochs_are_a_sequence_of_rows():
    rows = [epoch(number, number / 8, None if number == 2 else number / 10) for number in range(1, 7)]
    found = History(epochs=rows).epochs
    assert (len(found), list(found), found == rows, found == rows[1:]) == (6, rows, True, False)
    assert [found[place] for place in (0, 1, 5, -1, -6)] == [rows[place] for place in (0, 1, 5, -1, -6)]
    assert (found[2:4], found[-2:], found[::3], found[9:]) == (rows[2:4], rows[-2:], rows[::3], [])
    assert [type(value) for value in (found[1].epoch, found[1].step, found[1].val_accuracy)] == [int, int, type(None)]
    for place in (6, -7):
        with pytest.raises(IndexError):
            found[place]


def test_who_finds_an_epoch_finds_all_of_it(monkeypatch):
    """Another thread may look between any two columns."""
    history, extend, lengths = History(epochs=[epoch(1)]), Curve.extend, []

    def watched(column, values):
        extend(column, values)
        lengths.append((len(history.epochs), min(map(len, history.columns.values()))))
        assert list(history.epochs)

    monkeypatch.setattr(Curve, "extend", watched)
    history.add_epoch(epoch(2))
    assert lengths[-1] == (2, 2)
    assert all(shown == whole for shown, whole in lengths)


def test_a_history_takes_at_most_twenty_bytes_a_number():
    tracemalloc.start()
    history, steps = History(), 50_000
    for number in range(1, steps // 10 + 1):
        history.extend(np.ones(10, np.float32), [epoch(number)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held <= 20 * (steps + len(Epoch.__dataclass_fields__) * steps // 10)


# Made of what is known


def test_a_history_is_made_of_what_is_known_and_goes_on():
    rows = [epoch(1, val_accuracy=0.75), epoch(2, val_accuracy=0.5)]
    history = History([1.0, 0.5], rows, [Change(1, "optimizer.lr", 0.5)])
    assert (history.steps, history.epochs, history.best) == (2, rows, rows[0])
    history.add_step(torch.tensor(0.25))
    assert history.losses.tolist() == [1.0, 0.5, 0.25]
    assert history.losses.dtype == np.float32
    assert history.changes == [Change(1, "optimizer.lr", 0.5)]


@pytest.mark.parametrize(("step", "rows"), [(0, 0), (5, 0), (10, 1), (19, 1), (20, 2), (25, 2)])
def test_until_a_step_there_is_what_was_measured_before_and_every_change(step, rows):
    made = [Change(3, "optimizer.lr", 0.5), Change(22, "optimizer.lr", 0.25)]
    losses = np.arange(25, dtype=np.float32)
    history = History(losses, [epoch(1), epoch(2)], made)
    before = history.until(step)
    assert before.losses.tolist() == losses[:step].tolist()
    assert (before.steps, before.epochs, before.changes) == (step, history.epochs[:rows], made)
    before.add_step(torch.tensor(9.0))
    before.change({"epochs": 3})
    assert (history.steps, history.changes) == (25, made)


# Changes


def test_changes_are_kept_in_the_order_of_steps_and_names():
    history = filled([1.0] * 3)
    history.change({"optimizer.lr": 0.5, "epochs": 4})
    history.add_step(torch.tensor(1.0))
    history.change({"optimizer.lr": 0.25})
    history.change({"model.dropout": 0.1})
    assert history.changes == [
        Change(3, "epochs", 4),
        Change(3, "optimizer.lr", 0.5),
        Change(4, "model.dropout", 0.1),
        Change(4, "optimizer.lr", 0.25),
    ]


def test_the_last_change_of_a_setting_at_a_step_stands():
    history = filled([1.0])
    for value in (0.5, None, 0.25):
        history.change({"pace": value})
    assert history.changes == [Change(1, "pace", 0.25)]


def test_what_was_changed_later_gives_way_to_a_change_now_for_that_setting_alone():
    made = [
        Change(0, "optimizer.lr", 1.0),
        Change(3, "optimizer.lr", 0.5),
        Change(3, "epochs", 4),
        Change(5, "epochs", 6),
    ]
    history = History([1.0, 1.0], changes=made)
    history.change({"optimizer.lr": 0.25})
    assert history.changes == [made[0], Change(2, "optimizer.lr", 0.25), made[2], made[3]]


def test_changes_that_were_handed_out_stay_as_they_are():
    history = History()
    history.change({"optimizer.lr": 0.5})
    before = history.changes
    history.change({"optimizer.lr": 0.25})
    assert before == [Change(0, "optimizer.lr", 0.5)]


def test_losses_that_cannot_be_read_are_no_numbers():
    history = History([1.0, 2.0])
    for _ in range(3):
        history.add_step(torch.tensor(5.0))
    history.give_up()
    np.testing.assert_array_equal(history.losses, np.array([1, 2, np.nan, np.nan, np.nan], np.float32))
    assert history.steps == 5


@pytest.mark.parametrize("setting", MEASURES)
def test_epochs_are_compared_with_those_that_were_measured_alike(setting):
    before = [epoch(1, val_accuracy=0.9, val_loss=0.1), epoch(2, val_accuracy=0.8, val_loss=0.2)]
    history = History(epochs=before)
    assert (history.best.epoch, history.lowest_epoch) == (1, 1)
    history = History(epochs=before, changes=[Change(20, setting, "another")])
    assert history.best is None
    history.extend([], [epoch(3, val_accuracy=0.5, val_loss=3.0), epoch(4, val_accuracy=0.4, val_loss=2.0)])
    assert (history.best.epoch, history.lowest_epoch) == (3, 4)


def test_what_is_lost_is_lost_no_later_than_where_a_run_goes_on():
    history = History(np.ones(30), [epoch(1), epoch(2), epoch(3)], [Change(20, LOST, None), Change(30, LOST, None)])
    assert history.until(10).changes == [Change(10, LOST, None)]
    assert history.until(25).changes == [Change(20, LOST, None), Change(25, LOST, None)]
