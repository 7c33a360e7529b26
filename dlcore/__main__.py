"""The command line: the same engine, without a browser. `python -m dlcore --help` says how."""

import argparse
import contextlib
import csv
import dataclasses
import datetime
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.engine.predicting import predict
from dlcore.engine.training import Run, score
from dlcore.history import Epoch
from dlcore.recipe import Recipe, change, parse_change, read
from dlcore.recipes import RECIPES
from dlcore.runs.records import LONGEST_NAME, branch_name
from dlcore.runs.store import Store, StoreError
from dlcore.settings import Problem, Settings, SettingsError, accepted, did_you_mean, explanation, family_of, show

POLL = 0.05  # seconds between two looks at the job
ROWS = 25  # at most, of the table that a person reads
TABLE_HEAD = "epoch  train loss  val loss  train acc  val acc        lr    time"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 success, 1 the training failed, 2 something asked for cannot be, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except StoreError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - or the interpreter complains when it flushes
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlcore", description="Train neural networks, without a browser.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=help)
        found.set_defaults(command=function)
        return found

    def one_run(name: str, function: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        found = command(name, function, help)
        found.add_argument("id", metavar="ID", help="the run's id, as `runs` lists it")
        return found

    command("recipes", show_recipes, "list the named recipes")
    command("settings", show_settings, "list everything that --set can change")

    training = command("train", train, "train a recipe")
    training.add_argument("recipe", metavar="NAME|FILE.json", help="a named recipe, or a file that holds one")
    training.add_argument("--name", help="what the run is called; by default as the recipe")
    listing = command("runs", list_runs, "list the runs that are kept")
    showing = one_run("show", show_run, "show a run: its epochs, its changes, its recipe")
    going_on = one_run("resume", resume, "let a run go on where it was left")
    branching = one_run("branch", branch, "start a run from the weights that another one had after an epoch")
    branching.add_argument("--at", metavar="EPOCH", type=int, required=True, help="the epoch after which it leaves")
    branching.add_argument("--name", help="what the branch is called")
    one_run("delete", delete, "delete a run; for a day it can be brought back")
    one_run("restore", bring_back, "bring a deleted run back")
    importing = one_run("import", take_in, "enter a run whose folder is there but which the list of runs does not know")
    importing.add_argument("--recipe", metavar="NAME|FILE.json", help="its recipe, where the folder does not tell it")
    exporting = one_run("export", export, "write a run's epochs, or its steps, as CSV")
    exporting.add_argument("--csv", metavar="FILE", required=True, help="the file to write; - for the standard output")
    exporting.add_argument("--each", choices=("epoch", "step"), default="epoch", help="what a line is for")

    for one in (training, going_on, branching):
        one.add_argument(
            "--set",
            dest="changes",
            metavar="SETTING=VALUE",
            action="append",
            default=[],
            help="change a setting, such as optimizer.lr=0.01 or model.activation.kind=tanh; may be repeated",
        )
        one.add_argument(
            "--predict",
            metavar="X",
            nargs="+",
            action="extend",
            default=[],
            help="after training, predict for this input; several features are joined by commas, as in 0.5,-1",
        )
    for one in (training, listing, showing, going_on, branching):
        one.add_argument("--json", action="store_true", help="print one JSON object a line")
    return parser


def show_recipes(options: argparse.Namespace) -> int:
    width = max(map(len, RECIPES))
    for name, named in RECIPES.items():
        print(f"{name:{width}}  {named.about}")
    return 0


def show_settings(options: argparse.Namespace) -> int:
    for line in _reference("", Recipe):
        print(line)
    return 0


def _reference(prefix: str, settings: type[Settings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        path = f"{prefix}{name}"
        if kinds := family_of(field):
            yield f"\n{path}.kind: {field.title}. {field.description}"
            for kind, choice in kinds.items():
                yield f"  {path}.kind={kind}: {explanation(choice)}"
                yield from (f"    {line.strip()}" for line in _reference(f"{path}.", choice))
        elif isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _reference(f"{path}.", field.annotation)
        elif name != "kind":
            yield f"{path}: {accepted(field)}. {field.description}"


def train(options: argparse.Namespace) -> int:
    recipe = _recipe(options.recipe, options.changes)
    name = Path(options.recipe).stem[:LONGEST_NAME] if options.name is None else options.name
    inputs = _inputs(recipe, options.predict)
    return _watch(lambda conductor: conductor.submit(name, recipe, paused=True), inputs, options.json)


def resume(options: argparse.Namespace) -> int:
    store, number = Store(), _number(options.id)
    inputs = _inputs(store.open(number).recipe, options.predict)
    changes = dict(map(parse_change, options.changes))
    return _watch(lambda conductor: conductor.resume(number, changes, paused=True), inputs, options.json, store)


def branch(options: argparse.Namespace) -> int:
    store, number = Store(), _number(options.id)
    parent = store.open(number)
    recipe = change(
        parent.recipe_at(store.checkpoint(number, options.at).step), dict(map(parse_change, options.changes))
    )
    name = branch_name(parent.name, options.at) if options.name is None else options.name
    inputs = _inputs(recipe, options.predict)

    def begin(conductor: Conductor) -> Job:
        return conductor.branch(number, options.at, name, recipe, paused=True)

    return _watch(begin, inputs, options.json, store)


def _watch(begin: Callable[[Conductor], Job], inputs: torch.Tensor, as_json: bool, store: Store | None = None) -> int:
    """Begin a job, which waits so that nothing of it is missed, and tell how it goes, until it is over and saved."""
    store = _writable(store or Store())
    known = store.problem
    with contextlib.closing(store):
        with contextlib.closing(Conductor(store=store)) as conductor:
            job = begin(conductor)
            with _stopping(job):
                if as_json:
                    _print_object({"event": "start", "id": job.id, "name": job.name, **_begun(job)})
                else:
                    print(f"run {job.id}: {job.name}", flush=True)
                print(*job.notices, sep="\n", end="\n" if job.notices else "", file=sys.stderr)
                (print_json if as_json else print_table)(job)
            end = _end(job, inputs)
        problem = store.problem
    if as_json:
        _print_object({"event": "end", "id": job.id, **end})
    else:
        _print_end(end)
    if job.failure:
        print(job.failure.traceback + job.failure.text, file=sys.stderr)
    if problem not in (known, ""):
        print(problem, file=sys.stderr)
    if job.trouble:
        print(f"The end of run {job.id} is not saved: {job.trouble}", file=sys.stderr)
        return 1
    return {"finished": 0, "failed": 1, "stopped": 130}[job.status]


def _writable(store: Store) -> Store:
    if not store.writable:
        raise StoreError(store.problem)
    if store.problem:
        print(store.problem, file=sys.stderr)
    return store


def _begun(job: Job) -> dict:
    """From where a run goes on; nothing for a new one."""
    found = {"epoch": len(job.history.epochs), "step": job.history.steps} if job.history.steps else {}
    return found | ({"parent": str(job.branch.parent)} if job.branch else {})


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise StoreError(f"A run's id is a whole number, as `python -m dlcore runs` lists it, not {show(text)}.")
    return int(text)


def list_runs(options: argparse.Namespace) -> int:
    store = Store()
    rows = store.rows()
    print(*_remarks(store), sep="", file=sys.stderr, end="")
    if options.json:
        for row in rows:
            _print_object(_listed(row))
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
        told = f"; the folder alone does not tell its recipe: {one.problem}" if one.problem else ""
        command = f"python -m dlcore import {one.number}{' --recipe NAME' if one.problem else ''}"
        name = f" ({one.name})" if one.name else ""
        yield f"Run {one.number}{name} has a folder but is not in the list of runs; `{command}` enters it{told}.\n"


def _listed(row: dict) -> dict:
    """A row of the store as the command line tells it."""
    parent = None if row["parent"] is None else str(row["parent"])
    return {"id": str(row.pop("number"))} | row | {"created": _clock(row["created"]), "parent": parent}


def _clock(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="seconds")


def show_run(options: argparse.Namespace) -> int:
    store, number = Store(), _number(options.id)
    run = store.open(number)
    row = _listed(next(row for row in store.rows(deleted=run.deleted is not None) if row["number"] == number))
    changes = [vars(made) for made in run.history.changes]
    if options.json:
        failure = run.failure.text if run.failure else None
        about = {"failure": failure, "changes": changes, "epochs_kept": store.epochs_kept(number)}
        recipe = run.recipe.model_dump(mode="json")
        _print_object(row | about | {"environment": run.environment, "recipe": recipe, "history": run.history.rows()})
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
        print(f"\n{TABLE_HEAD}", *map(_table_row, run.history.epochs), sep="\n")
    print(f"\ncheckpoints after epochs: {', '.join(map(str, store.epochs_kept(number))) or 'none'}")
    print(f"recipe: {run.recipe.model_dump_json()}")
    return 0


def delete(options: argparse.Namespace) -> int:
    store, number = Store(), _number(options.id)
    store.delete(number)
    print(f"Run {number} is deleted; for a day, `python -m dlcore restore {number}` brings it back.")
    return 0


def bring_back(options: argparse.Namespace) -> int:
    Store().bring_back(_number(options.id))
    return 0


def take_in(options: argparse.Namespace) -> int:
    store, number = Store(), _number(options.id)
    recipe = None if options.recipe is None else _recipe(options.recipe, [])
    for passed in store.take_in(number, recipe):
        print(passed, file=sys.stderr)
    run = store.open(number)
    print(f"run {run.id}: {run.name}\n{run.note} `python -m dlcore resume {run.id}` goes on from there.")
    return 0


def export(options: argparse.Namespace) -> int:
    run = Store().open(_number(options.id))
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


@contextlib.contextmanager
def _stopping(job: Job) -> Iterator[None]:
    """Ctrl-C stops the job, whose last epochs and end are then told as ever; a second one ends the program."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        job.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _recipe(source: str, changes: list[str]) -> Recipe:
    if source in RECIPES:
        recipe = RECIPES[source].recipe
    elif Path(source).is_file():
        try:
            recipe = read(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([Problem("", f"{source} cannot be read: {error}.")]) from None
    elif source.endswith(".json"):
        raise SettingsError([Problem("", f"There is no file {source}.")])
    else:
        nearest = did_you_mean(source, RECIPES) or "."
        text = f"There is no recipe named '{source}'; there are {', '.join(RECIPES)}{nearest}"
        raise SettingsError([Problem("", text)])
    return change(recipe, dict(map(parse_change, changes)))


def _inputs(recipe: Recipe, values: list[str]) -> torch.Tensor:
    """The inputs (N, *shape) that `--predict` names."""
    needed = math.prod(recipe.shape)
    rows, problems = [], []
    for text in values:
        try:
            row = [float(number) for number in text.split(",")]
        except ValueError:
            row = []
        if len(row) != needed or not all(map(math.isfinite, row)):
            takes = "a number" if needed == 1 else f"{needed} numbers joined by commas"
            problems.append(Problem("predict", f"--predict {text}: an input of {recipe.data.kind} is {takes}."))
        rows.append(row)
    if problems:
        raise SettingsError(problems)
    return torch.tensor(rows).reshape(-1, *recipe.shape)


def print_json(job: Job) -> None:
    for row in _epochs(job):
        _print_object({"event": "epoch", **_without_missing(vars(row))})


def print_table(job: Job) -> None:
    every = math.ceil(job.recipe.epochs / ROWS)
    print(TABLE_HEAD)
    with tqdm(unit=" steps", leave=False, disable=None) as bar:
        for row in _epochs(job, bar):
            if row.epoch % every == 0 or row.epoch == job.recipe.epochs:
                bar.write(_table_row(row), file=sys.stdout)


def _table_row(row: Epoch) -> str:
    train, validation = ("-" if s is None else f"{s:.2%}" for s in (row.train_accuracy, row.val_accuracy))
    losses = f"{row.train_loss:>10.4f}  {row.val_loss:>8.4f}"
    return f"{row.epoch:>5}  {losses}  {train:>9}  {validation:>7}  {row.lr:>8.2g}  {row.seconds:>5.1f}s"


def _epochs(job: Job, bar: tqdm | None = None) -> Iterator[Epoch]:
    """The job's epochs as they end and are saved, until it is over."""
    seen, over, told = len(job.history.epochs), False, ""
    job.resume()
    while not over:
        over = job.wait(POLL)
        if job.trouble != told:
            told = job.trouble
            print(f"Waiting: {told}" if told else "Going on.", file=sys.stderr)
        if bar is not None:
            bar.total = job.total_steps or None
            bar.set_description(job.status if job.ready else f"loading {job.downloaded:.0%}" if job.downloaded else "")
            bar.update(job.history.steps - bar.n)
        known = len(job.history.epochs) if over else job.saved_epochs
        yield from job.history.epochs[seen:known]
        seen = max(seen, known)


def _end(job: Job, inputs: torch.Tensor) -> dict:
    rows = job.history.epochs
    end = {"status": job.status} | ({"reason": job.reason} if job.reason else {})
    end |= {"steps": job.history.steps, "steps_per_second": job.steps_per_second}
    if rows:
        last = {name: value for name, value in vars(rows[-1]).items() if name not in end and name != "step"}
        end |= _without_missing(last)
    if job.ready and not job.failure:
        test = job.ask(lambda run: score(run, run.data.test)).result()
        end |= _without_missing({"test_loss": test.loss, "test_accuracy": test.accuracy})
        end["predictions"] = job.ask(lambda run: predictions(run, inputs)).result()
    if job.failure:
        end["error"] = job.failure.text
    return end


def predictions(run: Run, inputs: torch.Tensor) -> list:
    """For each input: the value (regression), the second class's probability (two classes), or all probabilities."""
    if not len(inputs):
        return []
    found = predict(run, inputs)
    classes = len(run.recipe.task.classes)
    return found.tolist() if classes > 2 else found[:, -1].tolist()


def _print_object(values: dict) -> None:
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


def _print_end(end: dict) -> None:
    names = {"steps_per_second": "steps a second", "val_accuracy": "validation accuracy", "val_loss": "validation loss"}
    names |= {"test_accuracy": "test accuracy", "test_loss": "test loss"}
    print(f"\n{end['status']} after {end['steps']} steps{': ' if 'reason' in end else ''}{end.get('reason', '')}")
    for name, title in names.items():
        if name in end:
            print(f"  {title:20} {end[name]:.2%}" if "accuracy" in name else f"  {title:20} {end[name]:.4g}")
    for prediction in end.get("predictions", []):
        print(f"  {'prediction':20} {prediction}")


def _without_missing(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
