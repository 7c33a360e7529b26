"""Continuing: a trainer that takes a run of the store on, from where it was left or from one of its checkpoints."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dlcore.engine.job import steered
from dlcore.engine.trainer import Trainer
from dlcore.recipe import Recipe
from dlcore.runs.branching import branch_problems, taken_over
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.film import Film
from dlcore.runs.records import Branch, Stored
from dlcore.runs.resuming import check_that_something_is_left
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError


def resumed(store: Store, number: int, changes: Mapping[str, Any], frames: int) -> tuple[Stored, Trainer, list[str]]:
    """The run, its trainer with `changes` made and a film of up to so many `frames`, and what was passed over to find a
    checkpoint, in sentences; what the store has of the run beyond its checkpoint goes. Raises StoreError when it cannot
    go on, SettingsError for changes that are none.
    """
    run = store.open(number)
    if run.deleted:
        raise StoreError(f"Run {number} is deleted; bring it back first.")
    checkpoint, passed = store.latest(run)
    if checkpoint is None and (passed or run.branch):
        raise StoreError(" ".join([f"Run {number} cannot go on: it has no checkpoint that can be used.", *passed]))
    history = run.history.until(checkpoint.step if checkpoint else 0)
    trainer = Trainer(run.first_recipe, history, branch=run.branch, checkpoint=checkpoint)
    trainer.steps_per_epoch, trainer.offset = run.steps_per_epoch, run.offset
    if changes:
        steered(trainer.recipe, trainer.epochs_begun, changes)
        trainer.steer(changes)
    if problems := trainer.recipe.problems():  # on another machine than before
        raise SettingsError(problems)
    check_that_something_is_left(run, trainer.recipe, history)
    store.rewind(number, history.steps, tuple(trainer.place))
    trainer.film = replace(store.film(number, run), most=frames)
    return run, trainer, passed


def branched(
    store: Store, number: int, epoch: int, recipe: Recipe, pace: float | None, frames: int
) -> tuple[Branch, Trainer, Checkpoint]:
    """Where a run with this recipe leaves another one, its trainer, and the weights that it goes on with. Raises
    SettingsError for a recipe that has problems or another network, StoreError when there is no such run or checkpoint.
    """
    parent = store.open(number)
    checkpoint = store.checkpoint(number, epoch)
    if problems := branch_problems(parent.recipe_at(checkpoint.step), epoch, recipe):
        raise SettingsError(problems)
    branch = Branch(number, epoch, checkpoint.step)
    history = taken_over(parent, checkpoint.step, recipe)
    film = Film(most=frames, start=epoch)
    trainer = Trainer(recipe, history, branch=branch, checkpoint=checkpoint, pace=pace, film=film)
    return branch, trainer, checkpoint
