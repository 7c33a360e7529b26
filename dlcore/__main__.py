"""The command line: the same engine, without a browser. `python -m dlcore --help` says how."""

import argparse
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from dlcore.history import Epoch
from dlcore.jobs import Conductor, Job
from dlcore.recipe import Recipe, change, parse_change, read
from dlcore.recipes import RECIPES
from dlcore.settings import Problem, Settings, SettingsError, accepted, did_you_mean, explanation, family_of
from dlcore.training import Run, predict, score

POLL = 0.05  # seconds between two looks at the job
ROWS = 25  # at most, of the table that a person reads


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 success, 1 the training failed, 2 the recipe has problems, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - or the interpreter complains when it flushes
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dlcore", description="Train neural networks, without a browser.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    recipes = commands.add_parser("recipes", help="list the named recipes")
    recipes.set_defaults(command=show_recipes)

    settings = commands.add_parser("settings", help="list everything that --set can change")
    settings.set_defaults(command=show_settings)

    training = commands.add_parser("train", help="train a recipe")
    training.set_defaults(command=train)
    training.add_argument("recipe", metavar="NAME|FILE.json", help="a named recipe, or a file that holds one")
    training.add_argument(
        "--set",
        dest="changes",
        metavar="SETTING=VALUE",
        action="append",
        default=[],
        help="change a setting, such as optimizer.lr=0.01 or model.activation.kind=tanh; may be repeated",
    )
    training.add_argument(
        "--predict",
        metavar="X",
        nargs="+",
        action="extend",
        default=[],
        help="after training, predict for this input; several features are joined by commas, as in 0.5,-1",
    )
    training.add_argument("--json", action="store_true", help="print one JSON object a line")
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
    inputs = _inputs(recipe, options.predict)
    conductor = Conductor()
    job = conductor.submit(options.recipe, recipe)
    report = print_json if options.json else print_table
    with _stopping(job):
        report(job)
    end = _end(job, inputs)
    conductor.close()
    if options.json:
        _print_object({"event": "end", **end})
    else:
        _print_end(end)
    if job.failure:
        print(job.failure.traceback + job.failure.text, file=sys.stderr)
    return {"finished": 0, "failed": 1, "stopped": 130}[job.status]


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
    needed = math.prod(recipe.data.shape)
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
    return torch.tensor(rows).reshape(-1, *recipe.data.shape)


def print_json(job: Job) -> None:
    for row in _epochs(job):
        _print_object({"event": "epoch", **_without_missing(vars(row))})


def print_table(job: Job) -> None:
    every = math.ceil(job.recipe.epochs / ROWS)
    print("epoch  train loss  val loss  train acc  val acc        lr    time")
    with tqdm(unit=" steps", leave=False, disable=None) as bar:
        for row in _epochs(job, bar):
            if row.epoch % every == 0 or row.epoch == job.recipe.epochs:
                bar.write(_table_row(row), file=sys.stdout)


def _table_row(row: Epoch) -> str:
    train, validation = ("-" if s is None else f"{s:.2%}" for s in (row.train_accuracy, row.val_accuracy))
    losses = f"{row.train_loss:>10.4f}  {row.val_loss:>8.4f}"
    return f"{row.epoch:>5}  {losses}  {train:>9}  {validation:>7}  {row.lr:>8.2g}  {row.seconds:>5.1f}s"


def _epochs(job: Job, bar: tqdm | None = None) -> Iterator[Epoch]:
    """The job's epochs as they end, until it is over."""
    seen, over = 0, False
    while not over:
        over = job.wait(POLL)
        if bar is not None:
            bar.total = job.total_steps or None
            bar.set_description(job.status if job.ready else f"loading {job.downloaded:.0%}" if job.downloaded else "")
            bar.update(job.history.steps - bar.n)
        yield from job.history.epochs[seen:]
        seen = len(job.history.epochs)


def _end(job: Job, inputs: torch.Tensor) -> dict:
    rows = job.history.epochs
    end = {"status": job.status, "steps": job.history.steps, "steps_per_second": job.steps_per_second}
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
    classes = len(run.recipe.data.classes)
    return found.tolist() if classes > 2 else found[:, -1].tolist()


def _print_object(values: dict) -> None:
    print(json.dumps({name: _finite(value) for name, value in values.items()}), flush=True)


def _finite(value: object) -> object:
    """The value as JSON can say it: what is not a finite number becomes null, in lists too."""
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_end(end: dict) -> None:
    names = {"steps_per_second": "steps a second", "val_accuracy": "validation accuracy", "val_loss": "validation loss"}
    names |= {"test_accuracy": "test accuracy", "test_loss": "test loss"}
    print(f"\n{end['status']} after {end['steps']} steps")
    for name, title in names.items():
        if name in end:
            print(f"  {title:20} {end[name]:.2%}" if "accuracy" in name else f"  {title:20} {end[name]:.4g}")
    for prediction in end.get("predictions", []):
        print(f"  {'prediction':20} {prediction}")


def _without_missing(values: dict) -> dict:
    return {name: value for name, value in values.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
