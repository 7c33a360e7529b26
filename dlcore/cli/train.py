"""The commands that train: a recipe from its beginning, a run from where it was left, a branch of one."""

import argparse
import contextlib
import math
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from dlcore.cli.arguments import changes_of, inputs_of, read_recipe, run_number
from dlcore.cli.printing import TABLE_HEAD, print_object, table_row, without_missing
from dlcore.cli.steer import go_on_elsewhere
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.engine.predicting import predict
from dlcore.engine.training import Run, score
from dlcore.history import Epoch
from dlcore.recipe import change
from dlcore.runs.records import LONGEST_NAME, branch_name, checked_frames, checked_threads
from dlcore.runs.store import Store, StoreError

POLL = 0.05  # seconds between two looks at the job
ROWS = 25  # at most, of the table that a person reads


def train(options: argparse.Namespace) -> int:
    recipe = read_recipe(options.recipe, options.changes)
    name = Path(options.recipe).stem[:LONGEST_NAME] if options.name is None else options.name
    inputs = inputs_of(recipe, options.predict)
    how = {"threads": options.threads and checked_threads(options.threads)}
    if options.frames is not None:
        how["frames"] = checked_frames(options.frames)
    begin = lambda conductor: conductor.submit(name, recipe, paused=True)  # noqa: E731
    return _watch(begin, inputs, options.json, **how)


def resume(options: argparse.Namespace) -> int:
    store, number = Store(), run_number(options.id)
    inputs, changes = inputs_of(store.open(number).recipe, options.predict), changes_of(options.changes)
    if go_on_elsewhere(store, number, changes):
        return 0
    return _watch(lambda conductor: conductor.resume(number, changes, paused=True), inputs, options.json, store)


def branch(options: argparse.Namespace) -> int:
    store, number = Store(), run_number(options.id)
    parent = store.open(number)
    recipe = change(parent.recipe_at(store.checkpoint(number, options.at).step), changes_of(options.changes))
    name = branch_name(parent.name, options.at) if options.name is None else options.name
    inputs = inputs_of(recipe, options.predict)

    def begin(conductor: Conductor) -> Job:
        return conductor.branch(number, options.at, name, recipe, paused=True)

    return _watch(begin, inputs, options.json, store)


def _watch(
    begin: Callable[[Conductor], Job],
    inputs: torch.Tensor,
    as_json: bool,
    store: Store | None = None,
    **how: Any,
) -> int:
    """Begin a job, which waits so that nothing of it is missed, and tell how it goes, until it is over and saved; `how`
    is the conductor to train it.
    """
    store = _writable(store or Store())
    problem_before = store.problem
    with contextlib.closing(store):
        with contextlib.closing(Conductor(store=store, **how)) as conductor:
            job = begin(conductor)
            with _stopping(job):
                if as_json:
                    print_object({"event": "start", "id": job.id, "name": job.name, **_start(job)})
                else:
                    print(f"run {job.id}: {job.name}", flush=True)
                print(*job.notices, sep="\n", end="\n" if job.notices else "", file=sys.stderr)
                (_print_json if as_json else _print_table)(job)
            end = _end(job, inputs)
        problem = store.problem
    if as_json:
        print_object({"event": "end", "id": job.id, **end})
    else:
        _print_end(end)
    if job.failure:
        print(job.failure.traceback + job.failure.text, file=sys.stderr)
    if problem not in (problem_before, ""):
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


def _start(job: Job) -> dict:
    """From where a run goes on; nothing for a new one."""
    start = {"epoch": len(job.history.epochs), "step": job.history.steps} if job.history.steps else {}
    return start | ({"parent": str(job.branch.parent)} if job.branch else {})


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


def _print_json(job: Job) -> None:
    for row in _epochs(job):
        print_object({"event": "epoch", **without_missing(vars(row))})


def _print_table(job: Job) -> None:
    every = math.ceil(job.recipe.epochs / ROWS)
    print(TABLE_HEAD)
    with tqdm(unit=" steps", leave=False, disable=None) as bar:
        for row in _epochs(job, bar):
            if row.epoch % every == 0 or row.epoch == job.recipe.epochs:
                bar.write(table_row(row), file=sys.stdout)


def _epochs(job: Job, bar: tqdm | None = None) -> Iterator[Epoch]:
    """The job's epochs as they end and are saved, until it is over."""
    seen, over, trouble = len(job.history.epochs), False, ""
    job.resume()
    while not over:
        over = job.wait(POLL)
        if job.trouble != trouble:
            trouble = job.trouble
            print(f"Waiting: {trouble}" if trouble else "Going on.", file=sys.stderr)
        if bar is not None:
            bar.total = job.total_steps or None
            bar.set_description(job.status if job.ready else f"loading {job.downloaded:.0%}" if job.downloaded else "")
            bar.update(job.history.steps - bar.n)
        ended = len(job.history.epochs) if over else job.saved_epochs
        yield from job.history.epochs[seen:ended]
        seen = max(seen, ended)


def _end(job: Job, inputs: torch.Tensor) -> dict:
    rows = job.history.epochs
    end = {"status": job.status} | ({"reason": job.reason} if job.reason else {})
    end |= {"steps": job.history.steps, "steps_per_second": job.steps_per_second}
    if rows:
        last = {name: value for name, value in vars(rows[-1]).items() if name not in end and name != "step"}
        end |= without_missing(last)
    if job.ready and not job.failure:
        test = job.ask(lambda run: score(run, run.data.test)).result()
        end |= without_missing({"test_loss": test.loss, "test_accuracy": test.accuracy})
        end["predictions"] = job.ask(lambda run: _predictions(run, inputs)).result()
    if job.failure:
        end["error"] = job.failure.text
    return end


def _predictions(run: Run, inputs: torch.Tensor) -> list:
    """For each input: the value (regression), the second class's probability (two classes), or all probabilities."""
    if not len(inputs):
        return []
    answers = predict(run, inputs)
    return answers.tolist() if len(run.recipe.task.classes) > 2 else answers[:, -1].tolist()


def _print_end(end: dict) -> None:
    names = {"steps_per_second": "steps a second", "val_accuracy": "validation accuracy", "val_loss": "validation loss"}
    names |= {"test_accuracy": "test accuracy", "test_loss": "test loss"}
    print(f"\n{end['status']} after {end['steps']} steps{': ' if 'reason' in end else ''}{end.get('reason', '')}")
    for name, title in names.items():
        if name in end:
            print(f"  {title:20} {end[name]:.2%}" if "accuracy" in name else f"  {title:20} {end[name]:.4g}")
    for prediction in end.get("predictions", []):
        print(f"  {'prediction':20} {prediction}")
