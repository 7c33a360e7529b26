"""The command that looks into a run: its layers, what it knows of each class, and its worst mistakes."""

import argparse
import contextlib
from collections.abc import Mapping

import numpy as np

from dlcore.catalogue.datasets import load
from dlcore.catalogue.splits import DataError
from dlcore.cli.arguments import run_number
from dlcore.cli.printing import print_object
from dlcore.engine.capture import restore, with_weights
from dlcore.engine.training import Run, build
from dlcore.inside.errors import LookError
from dlcore.inside.layers import Layer, health, next_step
from dlcore.inside.mistakes import Mistakes, Residuals, mistakes, residuals
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.records import Stored
from dlcore.runs.store import Store, StoreError

WORST = 20  # mistakes that are told
WIDEST = 12  # letters of a class in a table


def look(options: argparse.Namespace) -> int:
    with contextlib.closing(Store()) as store:
        record = store.open(run_number(options.id))
        try:
            run, epoch, moved = _kept(store, record, options.at)
            layers = health(run, next_step(run) if moved is None else moved)
            found = mistakes(run) if run.recipe.task.classes else residuals(run)
        except (CheckpointError, DataError, LookError) as error:
            raise StoreError(f"Run {record.number} cannot be looked into: {error}") from error
    seen = {
        "run": record.id,
        "epoch": epoch,
        "layers": [_told(layer) for layer in layers],
        **_judged(found),
    }
    if options.json:
        print_object(seen)
    else:
        _print_tables(seen, record, list(run.recipe.task.classes))
    return 0


def _kept(store: Store, record: Stored, epoch: int | None) -> tuple[Run, int, Mapping[str, float] | None]:
    """The run after an epoch, or as it was left; which epoch that is; and what its last step moved, if a frame tells.
    Raises StoreError, CheckpointError and LookError, the last one naming the epochs that are kept.
    """
    checkpoint, passed = None, []
    if epoch is None:
        checkpoint, passed = store.latest(record)
    elif epoch in store.epochs_kept(record.number):
        checkpoint = store.checkpoint(record.number, epoch)
    if checkpoint:
        return _restored(record, checkpoint), checkpoint.epochs, None
    if epoch is None:
        raise StoreError(" ".join([f"Run {record.number} has no checkpoint to look into.", *passed]))
    frame = store.film(record.number).at(epoch)
    recipe = record.recipe_at(frame.step)
    return with_weights(recipe, frame.weights, load(recipe.data)), epoch, frame.moved


def _restored(record: Stored, checkpoint: Checkpoint) -> Run:
    """On this machine's processor, whatever it was trained on."""
    recipe = record.recipe_at(checkpoint.step).model_copy(update={"device": "cpu"})
    run = build(recipe, load(recipe.data))
    restore(run, checkpoint)
    return run


def _told(layer: Layer) -> dict:
    names = ("name", "output", "parameters", "weight_norm", "gradient_norm", "update_ratio", "dead", "saturated")
    return {name: getattr(layer, name) for name in names} | {"output": list(layer.output)}


def _judged(found: Mistakes | Residuals) -> dict:
    places = found.worst(WORST)
    if isinstance(found, Residuals):
        worst = [_one(place, found.targets[place], found.predicted[place], found.loss[place]) for place in places]
        return {"classes": {}, "ece": None, "worst": worst, "confusion": []}
    names = np.array(found.classes, dtype=object)
    targets, predicted = names[found.targets], names[found.predicted]
    return {
        "classes": dict(zip(found.classes, found.accuracy.tolist(), strict=True)),
        "ece": found.calibration.error,
        "worst": [_one(place, targets[place], predicted[place], found.loss[place]) for place in places],
        "confusion": found.confusion.tolist(),
    }


def _one(place: int, target: object, predicted: object, loss: float) -> dict:
    """A sample, by its place among the validation samples; a single value stands for itself."""
    values = [value.squeeze().tolist() if isinstance(value, np.ndarray) else value for value in (target, predicted)]
    return {"index": int(place), "target": values[0], "predicted": values[1], "loss": float(loss)}


def _print_tables(seen: dict, record: Stored, classes: list[str]) -> None:
    print(f"run {record.id}: {record.name}\nafter epoch {seen['epoch']}\n")
    head = ("layer", "output", "parameters", "weights", "gradient", "update", "dead", "saturated")
    rows = [
        (
            *(one["name"], " x ".join(map(str, one["output"])), f"{one['parameters']:,}"),
            *(_number(one[norm]) for norm in ("weight_norm", "gradient_norm", "update_ratio")),
            *(_share(one[share]) for share in ("dead", "saturated")),
        )
        for one in seen["layers"]
    ]
    _print_table(head, rows)
    if classes:
        print("\nvalidation samples")
        _print_table(("class", "right"), [(name, _share(share)) for name, share in seen["classes"].items()])
        print(f"\nexpected calibration error {seen['ece']:.2%}\n\nwhat it is (rows), what the network says (columns)")
        cells = zip(classes, seen["confusion"], strict=True)
        _print_table(("", *(name[:WIDEST] for name in classes)), [(name, *map(str, row)) for name, row in cells])
    print("\nthe worst" if seen["worst"] else "\nno mistakes")
    if seen["worst"]:
        worst = [
            (str(one["index"]), *map(_text, (one["target"], one["predicted"], one["loss"]))) for one in seen["worst"]
        ]
        _print_table(("sample", "it is", "it says", "loss"), worst)


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"


def _share(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.1%}"


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
