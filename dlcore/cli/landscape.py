"""The command that computes the loss around a run."""

import argparse
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from dlcore.catalogue.datasets import DataError, load
from dlcore.cli.arguments import run_number
from dlcore.cli.printing import print_object
from dlcore.engine.capture import network
from dlcore.inside.landscape import Course, Landscape, Still, kept_frames, landscape, still
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.records import Stored
from dlcore.runs.store import Store, StoreError


def show_landscape(options: argparse.Namespace) -> int:
    store = Store()
    numbers = dict.fromkeys(map(run_number, [options.id, *options.others]))  # each once
    runs = [store.open(number) for number in numbers]
    courses = [Course(run.number, run.first_recipe, kept_frames(store, run.number)) for run in runs]
    steps = landscape(_stood(store, runs[0]), courses, options.plane, options.seed)
    with tqdm(total=1.0, leave=False, disable=None, bar_format="{percentage:3.0f}%|{bar}|") as bar:
        for found in steps:
            bar.update(found.done - bar.n)
    if options.json:
        print_object(_told(found, runs[0].number))
    else:
        _print_table(found)
    return 0


def _stood(store: Store, run: Stored) -> Still:
    """A run as it was saved last."""
    checkpoint, passed = store.latest(run)
    if checkpoint is None:
        raise StoreError(" ".join([f"Run {run.number} has no checkpoint that can be used.", *passed]))
    try:
        kept = network(run.recipe_at(checkpoint.step), checkpoint)
    except CheckpointError as error:
        raise StoreError(f"The last checkpoint of run {run.number} cannot be used: {error}.") from error
    try:
        return still(replace(kept, data=load(kept.recipe.data)))
    except DataError as error:
        raise StoreError(str(error)) from error


def _told(found: Landscape, number: int) -> dict:
    paths = {path.run: [point._asdict() for point in path.points] for path in found.paths}
    axes = {name: axis.tolist() for name, axis in zip("xy", found.axes, strict=True)}
    about = {"plane": found.plane, "samples": found.samples, "variance": found.variance}
    path = paths.pop(number, [])
    about |= {"others": paths} if paths else {}
    return {"axes": axes, "loss": found.loss.tolist(), "path": path, **about}


def _print_table(found: Landscape) -> None:
    lowest, highest = np.nanmin(found.loss), np.nanmax(found.loss)
    print(f"loss over {found.samples} training samples, from {lowest:.4g} to {highest:.4g} on the plane")
    if found.variance is not None:
        print(f"the plane holds {found.variance:.1%} of the variance of the path{'s' * (len(found.paths) > 1)}")
    for path in found.paths:
        of = f"run {path.run}\n" if len(found.paths) > 1 else ""
        print(f"\n{of}{'epoch':>5}  {'x':>9}  {'y':>9}  {'in plane':>9}  {'true loss':>9}")
        for point in path.points:
            losses = f"{point.loss_in_plane:>9.4f}  {point.loss_true:>9.4f}"
            print(f"{point.epoch:>5}  {point.x:>9.4g}  {point.y:>9.4g}  {losses}")
