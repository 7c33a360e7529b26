"""Tries: a race before which contestants look for their learning rates."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, NamedTuple

from dlcore.engine.job import Job
from dlcore.recipe import Recipe, change, field_at
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError, bounds
from dlcore.studies.races import Field, came_through, counted, outcome, ranking

if TYPE_CHECKING:  # it needs PyTorch, and a page that shows races does not
    from dlcore.engine.conductor import Conductor

# Tens, since a usual rate may be that far off: on two moons and on a line, ten times the usual is best for all eight
# optimizers, while a factor of three off the best costs a point at most.
TRIED = (0.1, 1, 10)  # times a contestant's own rate
SHARE = 5  # the epochs of a race over those of a try
TAG = "try"  # of the runs that tried a rate


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
                won = came_through(best)  # or else it is the lowest rate, which is nearest to one that may
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
        how = f"of {('one', 'two', 'three')[len(tries) - 1]} tried for {counted(tries_epochs(recipe))}"
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
