"""Races: the same work for several contestants, who leads, and what the result is worth.

Contestants start from the same weights wherever shapes agree, see the same batches in the same order and have the same
budget (see `training.initialise`, `training.batches`, `Conductor.race`). What a learning rate makes of each is not
left to chance either: a rate that suits one may not suit another, so each can try three of them first (`start`).
"""

from __future__ import annotations

import contextlib
import math
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dlcore.engine.job import Job
from dlcore.recipe import Recipe, change, field_at
from dlcore.runs.records import Record
from dlcore.runs.store import StoreError
from dlcore.settings import Problem, SettingsError, bounds

if TYPE_CHECKING:  # it needs PyTorch, and a page that shows races does not
    from dlcore.engine.conductor import Conductor

Field = Sequence[tuple[str, Recipe]]  # the contestants by name

MOST = 8
LONGEST = 40  # letters of a name
CHANCE = 0.05  # a gap that chance alone gives more often than this decides nothing
# Tens, since a usual rate may be that far off: on two moons and on a line, ten times the usual is best for all eight
# optimizers, while a factor of three off the best costs a point at most.
TRIED = (0.1, 1, 10)  # times a contestant's own rate
SHARE = 5  # the epochs of a race over those of a try
TAG = "try"  # of the runs that tried a rate
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


# Trying learning rates


@dataclass(frozen=True)
class Try:
    """How a learning rate did for a contestant."""

    rate: float
    run: int  # its number
    result: str
    won: bool


class Stage(NamedTuple):
    """A contestant's tries, and how things stand meanwhile."""

    place: int  # among those who try, from 1
    name: str
    jobs: list[Job]
    field: dict[str, Recipe]  # as far as the rates are known


class Tuning:
    """A race before which contestants look for their learning rates: for each, three are tried on fewer epochs, side by
    side; then the race begins, each at the rate that was best. It goes on whoever looks. Once a try is stopped, there
    is no race.
    """

    def __init__(self, conductor: Conductor, field: Field, tried: Collection[str], pace: float | None, paused: bool):
        """Begins with the first contestant's tries. Raises SettingsError and StoreError, as `Conductor.race` does."""
        self.going = True
        self.problem = ""  # why it did not go on, or what could not be noted
        self.names = [name for name, _ in field if name in tried]  # in their order
        self.tries: dict[str, list[Try]] = {}  # of those who have theirs behind them
        self.race: int | None = None  # its number, once it has begun
        self.field = dict(field)  # as far as the rates are known
        self._shares = self._work()
        self.spans: dict[int, tuple[float, float]] = {}  # the shares of the tries and of the race, by their number
        self.stage: Stage | None = self._begin(conductor, 1, pace, paused)  # the last, until the race has begun

    def _work(self) -> list[tuple[float, float]]:
        """Where the tries of each, and then the race, begin and end, as shares of all epochs that are to be done."""
        tried = [self.field[name] for name in self.names]
        epochs = [tries_epochs(recipe) * len(tries_rates(recipe)) for recipe in tried]
        epochs.append(sum(recipe.epochs for recipe in self.field.values()))
        return list(pairwise(done / sum(epochs) for done in accumulate(epochs, initial=0)))

    def _begin(self, conductor: Conductor, place: int, pace: float | None, paused: bool) -> Stage:
        """Let a contestant's tries race each other."""
        name = self.names[place - 1]
        recipe = self.field[name]
        epochs = tries_epochs(recipe)
        tries = [change(recipe, {"optimizer.lr": rate, "epochs": epochs}) for rate in tries_rates(recipe)]
        jobs = conductor.race(
            [(f"{name}, rate {recipe.optimizer.lr:g}", recipe) for recipe in tries], pace=pace, paused=paused
        )
        if store := conductor.store:
            with self._noting():
                settings = {"rates": [recipe.optimizer.lr for recipe in tries], "epochs": epochs}
                store.describe_group(jobs[0].race, kind="tries", name=name, settings=settings)
                for job in jobs:
                    store.describe(job.number, tags=(TAG,))
        self.spans[jobs[0].race] = self._shares[place - 1]
        return Stage(place, name, jobs, dict(self.field))

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """What the store is told here, it goes on without all the same."""
        try:
            yield
        except StoreError as error:
            self.problem = str(error)

    def go_on(self, conductor: Conductor) -> None:
        """Wait for those tries, and do what follows."""
        try:
            for place, name in enumerate(self.names, 1):
                if place > 1:
                    self.stage = self._begin(conductor, place, self.stage.jobs[0].pace, paused=False)
                jobs = self.stage.jobs
                for job in jobs:
                    job.wait()
                if any(job.status not in ("finished", "failed") for job in jobs):
                    return
                best = ranking(jobs)[0]
                won = _came_through(best)  # or else it is the lowest rate, which is nearest to one that may
                self.field[name] = change(self.field[name], {"optimizer.lr": best.first_recipe.optimizer.lr})
                self.tries[name] = [
                    Try(job.first_recipe.optimizer.lr, job.number, outcome(job), won and job is best) for job in jobs
                ]
            racing = conductor.race(list(self.field.items()), pace=jobs[0].pace)
            tried, self.race = list(self.spans), racing[0].race
            self.spans[self.race] = self._shares[-1]
            self.stage = None  # and the jobs are held by others, as long as they want them
            if store := conductor.store:
                with self._noting():
                    for number in tried:
                        store.describe_group(number, parent=self.race)
                    for job in racing:
                        if job.name in self.tries:
                            store.describe(job.number, note=self.told(job.name))
        except (SettingsError, StoreError) as error:
            self.problem = str(error)
        except Exception as error:  # such as a conductor that was closed meanwhile; nobody else would hear of it
            self.problem = f"The race could not begin: {error}"
        finally:
            self.going = False

    def told(self, name: str) -> str:
        """How a contestant came by its rate, in a sentence."""
        tries, recipe = self.tries[name], self.field[name]
        how = f"of {('one', 'two', 'three')[len(tries) - 1]} tried for {_count(tries_epochs(recipe))}"
        others = ", ".join(f"{one.rate:g} ({one.result}, run {one.run})" for one in tries)
        best = f"the best {how}" if any(one.won for one in tries) else f"the lowest {how}, since none came through"
        return f"Learning rate {recipe.optimizer.lr:g}, {best}: {others}{_edge(recipe, tries)}."


def _edge(recipe: Recipe, tries: Sequence[Try]) -> str:
    """That the best rate is at an end of those tried, lowest first, beyond which others are allowed."""
    if tries[-1].won and tries[-1].rate < bounds(field_at(recipe, "optimizer.lr"))[1]:
        return "; it is the highest tried, so a higher one may be better still"
    if tries[0].won:
        return "; it is the lowest tried, so a lower one may be better still"
    return ""


_tunings: weakref.WeakKeyDictionary[Conductor, Tuning] = weakref.WeakKeyDictionary()


def start(
    conductor: Conductor, field: Field, tried: Collection[str] = (), *, pace: float | None = None, paused: bool = False
) -> list[Job]:
    """Start a race, or first the tries of those contestants whose learning rate is to be `tried`; the jobs that began.

    Raises SettingsError and StoreError, as `Conductor.race` does.
    """
    _tunings.pop(conductor, None)
    if not tried:
        return conductor.race(field, pace=pace, paused=paused)
    _tunings[conductor] = tuning = Tuning(conductor, field, tried, pace, paused)
    begun = tuning.stage.jobs
    threading.Thread(target=tuning.go_on, args=[conductor], name="tuning", daemon=True).start()
    return begun


def tuning(conductor: Conductor) -> Tuning | None:
    """The latest race of a conductor, if its contestants look, or looked, for their rates."""
    return _tunings.get(conductor)


def tries_rates(recipe: Recipe) -> list[float]:
    """The learning rates to try, lowest first; round, and as far as they are allowed."""
    most = bounds(field_at(recipe, "optimizer.lr"))[1]
    return list(dict.fromkeys(min(most, float(f"{recipe.optimizer.lr * times:.3g}")) for times in TRIED))


def tries_epochs(recipe: Recipe) -> int:
    return max(1, recipe.epochs // SHARE)


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


def _came_through(job: Record) -> bool:
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
    return _count(len(job.history.epochs))


def _count(epochs: int) -> str:
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
