"""Importing: what is left of a run when the list of runs is lost and its folder alone is there."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dlcore.history import LOST, Change, Epoch, History, in_order
from dlcore.recipe import Recipe
from dlcore.runs import checkpoints, folder, manifest
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.database import StoreError
from dlcore.runs.manifest import ManifestError
from dlcore.runs.records import LONGEST_NOTE, Branch, Stored

MOST_STEPS, MOST_EPOCHS = 100_000_000, 100_000  # of a run that is imported: each takes room


class Unlisted(NamedTuple):
    """A run's folder that the list of runs does not know."""

    number: int
    name: str  # empty when the folder does not tell it
    epoch: int  # the last whole one that has a checkpoint
    problem: str  # why it cannot be entered by itself, as part of a sentence; empty when it can


def unlisted(path: Path) -> Unlisted | None:
    """What a folder tells that the list of runs does not know; None when there is no checkpoint in it."""
    kept = [one for one in folder.checkpoints(path) if one.file.is_file()]
    if not kept:
        return None
    try:
        name, problem = manifest.read(path).name, ""
    except ManifestError as error:
        name, problem = "", str(error)
    return Unlisted(int(path.name), name, kept[0].epoch, problem)


def recover(path: Path, recipe: Recipe | None) -> tuple[Stored, list[str]]:
    """The run of a folder as it was at the latest checkpoint that can be used, with a note on what is lost; and a
    sentence on every checkpoint passed over. `recipe` where the folder tells none. Raises StoreError when it cannot be
    had.
    """
    number, passed = int(path.name), []
    try:
        run = Stored(0, f"run {number}", recipe) if recipe else manifest.read(path)
    except ManifestError as error:
        told = f"name the recipe, as in `python -m dlcore import {number} --recipe two-moons`"
        raise StoreError(f"Run {number} cannot be imported by itself: {error}; {told}.") from error
    run.number = number
    for kept in [one for one in folder.checkpoints(path) if one.file.is_file()]:
        try:
            last = checkpoints.read(kept.file)
            checkpoints.check_weights(last, run.first_recipe)
            return replace(as_it_was(run, last), note=_note(run.note, last)), passed
        except CheckpointError as error:
            passed.append(folder.passed_over(kept, number, error))
    raise StoreError(" ".join([f"Run {number} cannot be imported: no checkpoint can be used.", *passed]))


def _note(words: str, last: Checkpoint) -> str:
    """A run's note, with a sentence on the import unless it is there already."""
    told = f"Imported from its folder. What it measured up to step {last.step:,} (epoch {last.epochs}) is lost."
    note = "\n\n".join(filter(None, [told, words]))
    return words if words.startswith(told) or len(note) > LONGEST_NOTE else note  # nothing a person wrote is cut off


def as_it_was(run: Stored, last: Checkpoint) -> Stored:
    """The same run as it was at its last checkpoint, finished if all its epochs were done. Its history is as long as it
    was then, and empty of numbers: what was measured is lost. Raises CheckpointError when the checkpoint cannot be one
    of this run.
    """
    start = run.branch or Branch(0, 0, 0)
    end, epochs = last.step - last.place, last.epochs - start.epoch  # its own
    if last.step > MOST_STEPS or not (start.step <= end and epochs >= 0 and last.epochs <= MOST_EPOCHS):
        raise CheckpointError("it is not of this run")
    numbers = np.arange(1, last.epochs + 1)
    ends = np.interp(numbers, [0, start.epoch, last.epochs], [0, start.step, end]).round().astype(int)
    rows = [
        Epoch(number, step, np.nan, None, np.nan, None, 0.0, 0.0, 0.0)
        for number, step in zip(numbers.tolist(), ends.tolist(), strict=True)
    ]
    per_epoch = round((end - start.step) / epochs) if epochs else 0
    lost = Change(last.step, LOST, None)
    made = [change for change in run.history.changes if change != lost]  # it may have been entered so before
    changes = sorted([*made, lost], key=in_order)
    done = last.epochs >= run.recipe_at(last.step).epochs and not last.place
    return replace(
        run,
        status="finished" if done else "interrupted",
        history=History(np.full(last.step, np.nan, np.float32), rows, changes),
        steps_per_epoch=per_epoch,
        offset=end - last.epochs * per_epoch if per_epoch else 0,
        elapsed=last.elapsed,
        stepping=last.stepping,
    )
