"""The commands for runs that are kept: they list, show, delete, bring back, import and export."""

import argparse
import contextlib
import csv
import dataclasses
import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from dlcore.cli.arguments import read_recipe, run_number
from dlcore.cli.printing import TABLE_HEAD, print_object, table_row
from dlcore.history import Epoch
from dlcore.runs.store import Store, StoreError


def list_runs(options: argparse.Namespace) -> int:
    store = Store()
    rows = store.rows()
    print(*_remarks(store), sep="", file=sys.stderr, end="")
    if options.json:
        for row in rows:
            print_object(_listed(row))
    elif not rows:
        print("No runs yet: `python -m dlcore train two-moons` makes one.")
    else:
        print(f"{'id':>5}  {'status':11}  {'epoch':>11}  {'val acc':>7}  {'val loss':>8}  {'begun':16}  name")
        for row in rows:
            accuracy = "-" if row["val_accuracy"] is None else f"{row['val_accuracy']:.2%}"
            loss = "-" if row["val_loss"] is None else f"{row['val_loss']:.4f}"
            epochs, begun = f"{row['epoch']} of {row['epochs']}", _clock(row["created"]).replace("T", " ")[:16]
            start = f"{row['number']:>5}  {row['status']:11}  {epochs:>11}"
            print(f"{start}  {accuracy:>7}  {loss:>8}  {begun}  {row['name']}")
    return 0


def _remarks(store: Store) -> Iterator[str]:
    """What a person should know of the list of runs, a line each."""
    if store.problem:
        yield f"{store.problem}\n"
    for one in store.unlisted():
        lack = f"; the folder alone does not tell its recipe: {one.problem}" if one.problem else ""
        command = f"python -m dlcore import {one.number}{' --recipe NAME' if one.problem else ''}"
        name = f" ({one.name})" if one.name else ""
        yield f"Run {one.number}{name} has a folder but is not in the list of runs; `{command}` enters it{lack}.\n"


def _listed(row: dict) -> dict:
    """A row of the store as the command line tells it."""
    parent = None if row["parent"] is None else str(row["parent"])
    return {"id": str(row.pop("number"))} | row | {"created": _clock(row["created"]), "parent": parent}


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def show_run(options: argparse.Namespace) -> int:
    store, number = Store(), run_number(options.id)
    run = store.open(number)
    row = _listed(next(row for row in store.rows(deleted=run.deleted is not None) if row["number"] == number))
    changes, epochs_kept = [vars(made) for made in run.history.changes], store.epochs_kept(number)
    if options.json:
        failure = run.failure.text if run.failure else None
        about = {"failure": failure, "changes": changes, "epochs_kept": epochs_kept}
        recipe = run.recipe.model_dump(mode="json")
        print_object(row | about | {"environment": run.environment, "recipe": recipe, "history": run.history.rows()})
        return 0
    print(f"run {run.id}: {run.name}\n{run.status}{f': {run.reason}' if run.reason else ''}")
    if run.failure:
        print(run.failure.text)
    if run.branch:
        print(f"branch of run {run.branch.parent} after epoch {run.branch.epoch}")
    print(*filter(None, [run.note, ", ".join(run.tags)]), sep="\n", end="\n" if run.note or run.tags else "")
    print(f"begun {row['created']}, on {', '.join(f'{name} {value}' for name, value in run.environment.items())}")
    for made in changes:
        print(f"after step {made['step']}: {made['setting']} = {json.dumps(made['value'])}")
    if run.history.epochs:
        print(f"\n{TABLE_HEAD}", *map(table_row, run.history.epochs), sep="\n")
    print(f"\ncheckpoints after epochs: {', '.join(map(str, epochs_kept)) or 'none'}")
    print(f"recipe: {run.recipe.model_dump_json()}")
    return 0


def delete(options: argparse.Namespace) -> int:
    store, number = Store(), run_number(options.id)
    store.delete(number)
    print(f"Run {number} is deleted; for a day, `python -m dlcore restore {number}` brings it back.")
    return 0


def bring_back(options: argparse.Namespace) -> int:
    Store().bring_back(run_number(options.id))
    return 0


def take_in(options: argparse.Namespace) -> int:
    store, number = Store(), run_number(options.id)
    recipe = None if options.recipe is None else read_recipe(options.recipe, [])
    for passed in store.take_in(number, recipe):
        print(passed, file=sys.stderr)
    run = store.open(number)
    print(f"run {run.id}: {run.name}\n{run.note} `python -m dlcore resume {run.id}` goes on from there.")
    return 0


def export(options: argparse.Namespace) -> int:
    run = Store().open(run_number(options.id))
    if options.each == "epoch":
        names, rows = [field.name for field in dataclasses.fields(Epoch)], run.history.rows()
    else:
        names = ["step", "loss"]
        rows = ({"step": step, "loss": repr(float(loss))} for step, loss in enumerate(run.history.losses, 1))
    try:
        with contextlib.ExitStack() as stack:
            to_file = options.csv != "-"
            stream = stack.enter_context(Path(options.csv).open("w", newline="")) if to_file else sys.stdout
            writer = csv.DictWriter(stream, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoreError(f"{options.csv} cannot be written: {error.strerror or error}.") from None
    return 0
