"""Races: the same work for several contestants, who leads, and what the result is worth.

Contestants start from the same weights wherever shapes agree, see the same batches in the same order and have the same
budget (see `architectures.initialise`, `training.batches`, `Conductor.race`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dlcore.recipe import Recipe, change
from dlcore.records import Record
from dlcore.settings import Problem, SettingsError

MOST = 8
LONGEST = 40  # letters of a name
CHANCE = 0.05  # a gap that chance alone gives more often than this decides nothing


def contestants(base: Recipe, field: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Recipe]]:
    """Name and recipe of each contestant, given by its name and its changes to the base recipe.

    Raises SettingsError with the problems of all of them at once, each told by the contestant's name.
    """
    found, problems = [], []
    for name, changes in field:
        try:
            found.append((name, change(base, changes)))
        except SettingsError as error:
            problems += [Problem(problem.setting, f"{name}: {problem}") for problem in error.problems]
    if not 2 <= len(field) <= MOST:
        problems.append(Problem("contestants", f"A race takes 2 to {MOST} contestants; there are {len(field)}."))
    names = [name for name, _ in field]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(Problem("contestants", f"{', '.join(twice)} is there more than once; name each once."))
    if any(not 1 <= len(name) <= LONGEST for name in names):
        problems.append(Problem("contestants", f"A contestant's name has 1 to {LONGEST} letters."))
    if problems:
        raise SettingsError(problems)
    return found


def ranking(jobs: Sequence[Record]) -> list[Record]:
    """Best first, by the last epoch's validation accuracy (loss decides ties, and alone in regression); whoever
    failed comes last.
    """

    def merit(job: Record) -> tuple:
        last = job.history.epochs[-1] if job.history.epochs else None
        return (job.status == "failed", last is None, last and (-(last.val_accuracy or 0), last.val_loss), job.number)

    return sorted(jobs, key=merit)


def verdict(jobs: Sequence[Record]) -> str:
    """What a finished race has shown, in plain words."""
    order = ranking(jobs)
    racing = [job for job in order if job.history.epochs and job.status != "failed"]
    left = [f"{job.name} left the race: {job.failure.text}" for job in order if job.failure]
    if not racing:
        return " ".join(["Nobody came through.", *left])
    first = racing[0]
    words = [f"{first.name} came first: {_result(first)} after {_epochs(first)}."]
    if len(racing) > 1:
        words.append(_compare(first, racing[1]))
    if quick := _quickest(racing):
        words.append(quick)
    return " ".join([*words, *left])


def _result(job: Record) -> str:
    last = job.history.epochs[-1]
    if last.val_accuracy is None:
        return f"validation loss {last.val_loss:.4g}"
    return f"{last.val_accuracy:.1%} of the validation samples right"


def _epochs(job: Record) -> str:
    count = len(job.history.epochs)
    return f"{count} epoch{'s' if count != 1 else ''}"


def _compare(first: Record, second: Record) -> str:
    """How far ahead the first is, and whether chance could have done it.

    Two classifiers that were asked the same samples: McNemar's exact test, which looks at those samples alone that
    only one of them got right (McNemar 1947).
    """
    text = f"{second.name} came second with {_result(second)}"
    if not first.recipe.data.classes or first.recipe.data != second.recipe.data:
        same = first.recipe.loss == second.recipe.loss and first.recipe.data == second.recipe.data
        return f"{text}." if same else f"{text}; their figures are not measured alike, so mind what you compare."
    from scipy.stats import binomtest  # here, because only a finished race needs it

    right, other = (job.predicted == job.targets for job in (first, second))
    ahead, behind = int((right & ~other).sum()), int((other & ~right).sum())
    if ahead + behind == 0:
        return f"{text}, with the very same samples right: a tie."
    chance = binomtest(ahead, ahead + behind).pvalue
    alone = f"Of {len(right)} samples {first.name} alone got {ahead} right, {second.name} alone {behind}"
    if chance > CHANCE:
        return f"{text}. {alone}; chance gives such a gap in {chance:.0%} of races, so call it a tie."
    return f"{text}. {alone}; chance would hardly do that ({'<0.1%' if chance < 0.001 else f'{chance:.1%}'})."


def _quickest(racing: Sequence[Record]) -> str:
    """Who was first within a point of the best accuracy, in epochs."""
    if any(job.history.epochs[-1].val_accuracy is None for job in racing) or len(racing) < 2:
        return ""
    goal = max(job.history.best.val_accuracy for job in racing) - 0.01
    reached = {job: next((row.epoch for row in job.history.epochs if row.val_accuracy >= goal), None) for job in racing}
    soonest = min((epoch for epoch in reached.values() if epoch), default=None)
    names = [job.name for job, epoch in reached.items() if epoch == soonest]
    return f"Quickest to {goal:.1%}: {' and '.join(names)}, in epoch {soonest}." if soonest else ""
