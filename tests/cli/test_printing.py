import math
from dataclasses import replace

from tests.runs.storing import entered, history, record


def test_numbers_that_are_none_are_null_in_every_object(tell, runs):
    bad = replace(history(1).epochs[0], val_loss=math.nan, train_loss=math.inf, val_accuracy=None)
    one = record("odd", status="failed")
    one.history.add_epoch(bad)
    number = entered(runs, one)
    (listed,) = tell("runs")
    assert (listed["val_loss"], listed["train_loss"], listed["val_accuracy"]) == (None, None, None)
    (shown,) = tell("show", str(number))
    assert shown["history"][0]["val_loss"] is shown["history"][0]["train_loss"] is None
