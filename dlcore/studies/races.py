"""Races: the same work for several contestants, who leads, and what the result is worth.

Contestants start from the same weights wherever shapes agree, see the same batches in the same order and have the same
budget (see `training.initialise`, `training.batches`, `Conductor.race`). What a learning rate makes of each is not
left to chance either: a rate that suits one may not suit another, so each can try three of them first (`tries`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dlcore.recipe import Recipe, change
from dlcore.runs.records import Record
from dlcore.settings import Problem, SettingsError

Field = Sequence[tuple[str, Recipe]]  # the contestants by name

MOST = 8
LONGEST = 40  # letters of a name
CHANCE = 0.05  # a gap that chance alone gives more often than this decides nothing
SEEDS = "whether one way to train is better than the other, only repeated seeds can tell"


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


def with_rate(base: Recipe, changes: Mapping[str, Any], rates: Literal["same", "own"]) -> dict[str, Any]:
    """A contestant's changes with its learning rate among them: the one that they name, or that of the base recipe
    (`same`), or the one that its optimizer starts with (`own`). Raises SettingsError for changes that cannot be.
    """
    if names_rate(changes):
        return dict(changes)
    optimizer = change(base, changes).optimizer
    return {**changes, "optimizer.lr": base.optimizer.lr if rates == "same" else type(optimizer)().lr}


def names_rate(changes: Mapping[str, Any]) -> bool:
    whole = changes.get("optimizer")
    return "optimizer.lr" in changes or (isinstance(whole, dict) and "lr" in whole)


def rate(run: Record) -> str:
    """Its learning rate, and what that was changed to on the way."""
    first, now = (f"{recipe.optimizer.lr:g}" for recipe in (run.first_recipe, run.recipe))
    return first if first == now else f"{first}, then {now}"


def label(run: Record) -> str:
    """A contestant's name with its learning rate, unless the name tells that already."""
    return run.name if _tells_rate(run) else f"{run.name} · rate {rate(run)}"


def _tells_rate(run: Record) -> bool:
    return run.name.endswith(f"rate {rate(run)}")


# Who won


def ranking(jobs: Sequence[Record]) -> list[Record]:
    """Best first, by the last epoch's validation accuracy (loss decides ties, and alone in regression); then those
    whose loss is not a number, those with no epoch done, and those that failed.
    """

    def merit(job: Record) -> tuple:
        last = job.history.epochs[-1] if job.history.epochs else None
        lost = last is not None and math.isnan(last.val_loss)
        result = last and (lost, -(last.val_accuracy or 0), 0 if lost else last.val_loss)
        return (job.status == "failed", last is None, result, job.number)

    return sorted(jobs, key=merit)


def came_through(job: Record) -> bool:
    """Whether it came to its end with a loss that is a number."""
    return job.status == "finished" and math.isfinite(job.history.epochs[-1].val_loss)


def outcome(job: Record) -> str:
    """What came out, in a word or two."""
    if job.status == "failed" or not job.history.epochs:
        return "failed" if job.status == "failed" else "no epoch done"
    last = job.history.epochs[-1]
    return f"loss {last.val_loss:.4g}" if last.val_accuracy is None else f"{last.val_accuracy:.1%} right"


def verdict(jobs: Sequence[Record]) -> str:
    """What a finished race has shown, in plain words."""
    order = ranking(jobs)
    left = [f"{job.name} left the race: {job.failure.text}" for job in order if job.failure]
    racing = [job for job in order if job.history.epochs and job.status != "failed"]
    lost = [job for job in racing if math.isnan(job.history.epochs[-1].val_loss)]
    left += [f"{job.name} came to nothing: its loss is not a number." for job in lost]
    racing = [job for job in racing if job not in lost]
    if not racing:
        return " ".join(["Nobody came through.", *left])
    first = racing[0]
    gaps = {job: gap for job in racing[1:] if (gap := _gap(first, job))}
    if same := [job for job, gap in gaps.items() if gap.chance > CHANCE]:
        words = [_alike(first, {job: gaps[job] for job in same})]
    else:
        words = [f"{first.name} came first: {_result(first)} after {_epochs(first)}."]
        if len(racing) > 1:
            words.append(_compare(first, racing[1], gaps.get(racing[1])))
    words += [_quickest(racing), _rates(jobs), *left]
    return " ".join(filter(None, words))


def _result(job: Record) -> str:
    last = job.history.epochs[-1]
    if last.val_accuracy is None:
        return f"validation loss {last.val_loss:.4g}"
    return f"{last.val_accuracy:.1%} of the validation samples right"


def _epochs(job: Record) -> str:
    return counted(len(job.history.epochs))


def counted(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"


class Gap(NamedTuple):
    """On how many samples two classifiers differ, and how often chance does that to two that are equally good."""

    samples: int
    ahead: int  # that the first alone got right
    behind: int  # that the other alone got right
    chance: float

    def told(self, first: Record, second: Record) -> str:
        return f"Of {self.samples} samples {first.name} alone got {self.ahead} right, {second.name} alone {self.behind}"


def _gap(first: Record, second: Record) -> Gap | None:
    """How far ahead the first is of another that was asked the same samples; None where that is not known.

    McNemar's exact test, which looks at those samples alone that only one of them got right (McNemar 1947). It speaks
    of two trained networks, not of how they were trained.
    """
    answers = [(getattr(job, "predicted", None), getattr(job, "targets", None)) for job in (first, second)]
    kept = all(part is not None for answer in answers for part in answer)
    if not kept or not first.recipe.task.classes or first.recipe.data != second.recipe.data:
        return None
    from scipy.stats import binomtest  # here, because only a finished race needs it

    right, other = (predicted == targets for predicted, targets in answers)
    ahead, behind = int((right & ~other).sum()), int((other & ~right).sum())
    chance = binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
    return Gap(len(right), ahead, behind, chance)


def _alike(first: Record, gaps: Mapping[Record, Gap]) -> str:
    """Who cannot be told apart from the first in the table."""
    same = [first, *gaps]
    shares = _listed([f"{job.history.epochs[-1].val_accuracy:.1%}" for job in same])
    words = [
        f"{_listed([job.name for job in same])} cannot be told apart on these samples: {shares} of the validation "
        f"samples right after {_listed(list(dict.fromkeys(map(_epochs, same))))}.",
        "The order in the table is by accuracy, then loss.",
    ]
    for job, gap in gaps.items():
        if gap.ahead + gap.behind == 0:
            words.append(f"{first.name} and {job.name} got the very same samples right.")
        else:
            often = f"chance gives such a gap between two equally good networks {gap.chance:.0%} of the time"
            words.append(f"{gap.told(first, job)}; {often}.")
    return " ".join([*words, f"This is about these networks on these samples: {SEEDS}."])


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _compare(first: Record, second: Record, gap: Gap | None) -> str:
    """How far ahead the first is, which chance would hardly do."""
    text = f"{second.name} came second with {_result(second)}"
    if not first.recipe.task.classes or first.recipe.data != second.recipe.data:
        same = first.recipe.loss == second.recipe.loss and first.recipe.data == second.recipe.data
        return (
            f"{text}; {SEEDS}." if same else f"{text}; their figures are not measured alike, so mind what you compare."
        )
    if not gap:  # what they answered is not kept with a run
        return f"{text}. Which samples each got right is no longer known, so chance may have done it; {SEEDS}."
    often = "<0.1%" if gap.chance < 0.001 else f"{gap.chance:.1%}"
    told = f"{gap.told(first, second)}; between two equally good networks chance would hardly do that ({often})"
    return f"{text}. {told}. This is about these two networks on these samples: {SEEDS}."


def _rates(jobs: Sequence[Record]) -> str:
    """At which learning rates they raced."""
    rates = {job.name: rate(job) for job in jobs}
    if all(map(_tells_rate, jobs)):
        return ""
    if len(jobs) > 1 and len(set(rates.values())) == 1:
        return f"All trained at the learning rate {next(iter(rates.values()))}."
    return f"Their learning rates: {', '.join(f'{name} {one}' for name, one in rates.items())}."


def _quickest(racing: Sequence[Record]) -> str:
    """Who was first within a point of the best accuracy, in epochs."""
    if any(job.history.epochs[-1].val_accuracy is None for job in racing) or len(racing) < 2:
        return ""
    goal = max(job.history.best.val_accuracy for job in racing) - 0.01
    reached = {job: next((row.epoch for row in job.history.epochs if row.val_accuracy >= goal), None) for job in racing}
    soonest = min((epoch for epoch in reached.values() if epoch), default=None)
    names = [job.name for job, epoch in reached.items() if epoch == soonest]
    return f"Quickest to {goal:.1%}: {_listed(names)}, in epoch {soonest}." if soonest else ""
