"""Resuming: what keeps a run that is over from going on, and what it takes to be the same to the bit."""

import os

from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.runs.records import Stored
from dlcore.runs.store import StoreError


def check_that_something_is_left(run: Stored, recipe: Recipe, history: History) -> None:
    """Raises StoreError when a finished run has no epoch left by this recipe, or would be ended by a rule at once."""
    if run.status != "finished":
        return
    done = history.epochs[-1].epoch if history.epochs else 0
    if done >= recipe.epochs:
        raise StoreError(f"Run {run.number} has done all its {done} epochs; to go on, give it more of them.")
    if reason := recipe.stop.after_epoch(history) or recipe.stop.out_of_time(run.elapsed):
        raise StoreError(f"Run {run.number} has ended: {reason}; to go on, change that rule.")


def threads_again(before: int, usual: int) -> tuple[int, list[str]]:
    """How many cores a step of a run may use that goes on: as many as before, where this machine has them; else the
    usual number, with a sentence on it.
    """
    if not before:  # it is not known
        return usual, []
    if before <= (os.cpu_count() or 1):
        return before, []
    told = (
        f"It was trained with {before} cores a step, which this machine has not; with {usual} its last bits may differ."
    )
    return usual, [told]
