"""Branching: what a run takes over that goes on from another one's weights, and what keeps it from doing so."""

from dlcore.history import LOST, MEASURES, History
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import fits
from dlcore.runs.records import PACE, Record
from dlcore.settings import Problem


def branch_problems(parent: Recipe, epoch: int, recipe: Recipe) -> list[Problem]:
    """What keeps a recipe from going on with the weights that another one had after an epoch."""
    problems = recipe.problems()
    if not problems and not fits(parent, recipe):
        told = (
            "A branch goes on with the weights of its parent, so the network must be the same: leave the layers' sizes "
            "and the number of outputs as they are (activation and dropout may change)."
        )
        problems.append(Problem("model", told))
    if recipe.epochs <= epoch:
        told = f"epochs is {recipe.epochs}, but the branch begins after epoch {epoch}; the nearest is {epoch + 1}."
        problems.append(Problem("epochs", told))
    return problems


def goes_on_with(run: Record, epoch: int) -> Recipe:
    """The recipe of a run as it was after an epoch, with as many more where it had no epochs left."""
    recipe = run.recipe_at(step_after(run, epoch))
    more = {"epochs": epoch + recipe.epochs} if recipe.epochs <= epoch else {}
    return recipe.model_copy(update=more)


def step_after(run: Record, epoch: int) -> int:
    """How many steps a run had done at the end of an epoch; 0 before the first."""
    return next((row.step for row in run.history.epochs if row.epoch == epoch), 0)


def taken_over(parent: Record, step: int, recipe: Recipe) -> History:
    """What a branch with this recipe has of its parent's history. Where it is measured by something else, that is a
    change like any other: figures of before are shown, and not compared.
    """
    made = [change for change in parent.history.changes if change.step <= step]
    before, measured = parent.recipe_at(step), {change.setting for change in made if change.step == step}
    history = History(
        parent.history.losses[:step],
        [row for row in parent.history.epochs if row.step <= step],
        [change for change in made if (change.step < step or change.setting == LOST) and change.setting != PACE],
    )
    for setting in MEASURES:
        part = setting.removesuffix(".kind")
        if getattr(before, part) != getattr(recipe, part) or setting in measured:
            history.change({setting: getattr(recipe, part).kind})
    return History(history.losses, history.epochs[:], history.changes)
