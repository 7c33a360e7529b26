"""What several commands print: JSON objects and the table of epochs."""

import json
import math

from dlcore.history import Epoch

TABLE_HEAD = "epoch  train loss  val loss  train acc  val acc        lr    time"


def print_object(values: dict) -> None:
    print(json.dumps(_finite(values)), flush=True)


def _finite(value: object) -> object:
    """The value as JSON can say it: what is not a finite number becomes null, at any depth."""
    match value:
        case dict():
            return {name: _finite(item) for name, item in value.items()}
        case list():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def without_missing(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


def table_row(row: Epoch) -> str:
    train, validation = ("-" if s is None else f"{s:.2%}" for s in (row.train_accuracy, row.val_accuracy))
    losses = f"{row.train_loss:>10.4f}  {row.val_loss:>8.4f}"
    return f"{row.epoch:>5}  {losses}  {train:>9}  {validation:>7}  {row.lr:>8.2g}  {row.seconds:>5.1f}s"
