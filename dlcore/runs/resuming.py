"""Resuming: what keeps a run that is over from going on."""

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
