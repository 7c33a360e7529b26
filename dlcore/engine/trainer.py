"""A trainer: one run on its way, from one yield of the loop to the next.

It knows no threads, no queue and no store: whoever drives it asks for the next event, here on the conductor's thread,
in a test or in another process. What is random is the run's own: `own_random` installs its state around whatever
trains, so that its numbers are the same alone or beside others.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from dlcore.catalogue.splits import Dataset
from dlcore.engine.capture import Camera, capture, restore
from dlcore.engine.clocks import Stopwatch
from dlcore.engine.randomness import RandomState
from dlcore.engine.surgery import freeze_again, operate
from dlcore.engine.training import EpochEnd, Evaluating, Place, Run, Step, build, score, train
from dlcore.engine.training import steer as steer_run
from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import Checkpoint
from dlcore.runs.film import Film
from dlcore.runs.operations import frozen, is_operation
from dlcore.runs.records import PACE, Branch, pace_at, recipe_at

CHECK = 0.2  # seconds between two looks for a loss that is not a number


class DivergenceError(ArithmeticError):
    """The loss became infinite or not a number."""

    def __init__(self, step: int, lr: float):
        super().__init__(
            f"The loss stopped being a finite number at step {step}. Try a smaller learning rate "
            f"({lr / 10:.2g} instead of {lr:.2g}), a warm-up or one-cycle schedule, or another loss."
        )


class Trainer:
    """Trains one run. `begin` gives it its data, `advance` takes it on; single-threaded throughout."""

    def __init__(
        self,
        recipe: Recipe,
        history: History | None = None,
        *,
        branch: Branch | None = None,
        checkpoint: Checkpoint | None = None,
        pace: float | None = None,
        film: Film = Film(),  # noqa: B008 - immutable
    ):
        """`recipe` is the run's first; with a `checkpoint` it goes on there, after the `history` up to it. The `pace`
        with which it begins is part of its history, so that it holds when the run goes on. The `film` is
        what it has so far, and says how many frames it may have.

        What may be read between two steps: `recipe` as it is now, `pace` in steps a second (None for full speed), ….
        """
        self.first_recipe, self.branch = recipe, branch
        self.history = history or History()
        if pace:
            self.history.change({PACE: pace})
        self._read_changes()
        self.run: Run | None = None  # once it has its data
        self.over, self.reason = False, ""  # why it ended before its last epoch, as part of a sentence
        self.steps_per_epoch = self.offset = 0
        self.targets: np.ndarray | None = None  # of the validation split
        self.predicted: np.ndarray | None = None  # for it, after the last whole epoch
        self.best: Checkpoint | None = None  # after the best epoch since it began here
        self.film = film
        self.place, self.clock = Place(), Stopwatch()
        self.stepping = self.working = 0.0  # seconds in training steps, and in all
        if checkpoint:
            self.place = Place(checkpoint.epochs, checkpoint.place)
            self.clock = Stopwatch(checkpoint.elapsed)
            self.stepping, self.working = checkpoint.stepping, checkpoint.working
        self.captured = self.place  # where the last checkpoint was made
        self._checkpoint = checkpoint
        self._operated = self.history.steps  # operations of earlier steps are in the weights
        self._operations: list[Change] = []  # that are to be done, some of them at later steps
        self._followed = 0  # changes of the history that are made
        self._last_epoch = (self.history.steps, self.clock.read())  # steps and seconds at its end
        self._events: Iterator[Step | Evaluating | EpochEnd] = iter(())
        self._random: RandomState | None = None
        self._camera: Camera | None = None
        self._checked = 0.0  # when losses were looked at last

    @property
    def epochs_begun(self) -> int:
        """The epoch of the last step, or that which it is in by then."""
        return self.place.epochs + (self.place.steps > 0)

    def begin(self, data: Dataset) -> None:
        """Build the network, and bring it to where the run stands. Raises CheckpointError when it does not fit.

        Whatever can be asked before this can be asked after it.
        """
        self.steps_per_epoch = self.recipe.steps_per_epoch(len(data.train))
        self.offset = self.history.steps - self.place.epochs * self.steps_per_epoch - self.place.steps
        self.targets = data.validation.targets.cpu().numpy()
        run = build(self._recipe_at(self._settled), data)
        self._random = RandomState(self.recipe.device)
        if self._checkpoint:
            self._random, _ = restore(run, self._checkpoint)
            self._checkpoint = None
        self._followed = sum(change.step <= self._settled for change in self.history.changes)
        freeze_again(run, frozen(change for change in self.history.changes if change.step < self._operated))
        self._plan_operations()
        self.reason = self._over_already()
        self.over = bool(self.reason)
        if self.over or (self.place.epochs >= self.recipe.epochs and not self.place.steps):
            self.predicted = score(run, data.validation).predicted  # no epoch's end will tell
        self._camera = Camera(run)
        self.film = self.film.bounded(self._camera.size)
        if self.place == (self.film.start, 0) and not self.film and self.film.wants(self.place.epochs):
            self.film = self.film.plus(self._camera.frame(self.place.epochs, self.history.steps))
        self._events, self.run = train(run, self.place), run

    @contextlib.contextmanager
    def own_random(self) -> Iterator[None]:
        """Within it, the process's default generators are this run's."""
        self._random.restore()
        try:
            yield
        finally:
            self._random.save()

    def advance(self) -> Step | Evaluating | EpochEnd | None:
        """From one yield of the loop to the next, with `own_random`; None once there is none.

        Raises DivergenceError for a loss that is not a number, where the recipe says so.
        """
        self._follow_changes()
        if self._operations and self._operations[0].step <= self.history.steps and self._steps_next:
            self._operate()
        start, standing = time.perf_counter(), self.clock.since is None
        last = self.place.steps + 1 == self.steps_per_epoch
        filmed = last and self._films(self.place.epochs + 1)
        if filmed:
            self._camera.before_step()
        event = next(self._events, None)
        last = last and isinstance(event, Step)
        if last and filmed:
            self._camera.after_step()
        if last and self.recipe.device != "cpu":
            # Or the epoch's training would be billed to its evaluation.
            getattr(torch, self.recipe.device).synchronize()
        spent = time.perf_counter() - start
        self.working += spent
        if standing:  # a single step while paused
            self.clock = self.clock.plus(spent)
        if isinstance(event, Step):
            self.stepping += spent
            self.history.add_step(event.loss)
            self.place = Place(self.place.epochs, self.place.steps + 1)
        elif isinstance(event, EpochEnd):
            self.place = Place(event.epoch)
            self._record(event)
        else:
            self.over = event is None
        return event

    def steer(self, changes: Mapping[str, Any]) -> list[str]:
        """Change settings from the next step on; what a person should know of it, in sentences.

        An epoch that has begun meanwhile is not taken back.
        """
        changes, told = dict(changes), []
        if (asked := changes.get("epochs")) is not None and asked < (begun := self.epochs_begun):
            changes["epochs"] = begun
            told.append(f"Epoch {begun} had begun when the epochs were set to {asked}: it is the last.")
        self.history.change(changes)
        self._read_changes()
        if self.run:
            self._followed = sum(change.step < self.history.steps for change in self.history.changes)
            self._follow_changes()
            self._plan_operations()
        return told

    def look(self) -> None:
        """Read the losses that wait. Raises DivergenceError when one is not a number."""
        self._checked = time.monotonic()
        self.history.settle()
        if self.history.first_bad_step is not None and self.recipe.stop.not_a_number:
            raise DivergenceError(self.history.first_bad_step, self.run.optimizer.param_groups[0]["lr"])

    @property
    def to_be_looked_at(self) -> bool:
        return time.monotonic() - self._checked > CHECK

    def mind_the_time(self) -> None:
        """End the run when its time is over."""
        self.reason = self.recipe.stop.out_of_time(self.clock.read())
        self.over = bool(self.reason)

    def capture(self) -> Checkpoint:
        """All that is needed to go on from here, bit for bit; not within `own_random`."""
        self.captured = self.place
        clocks = {"elapsed": self.clock.read(), "stepping": self.stepping, "working": self.working}
        return capture(self.run, self._random, *self.place, step=self.history.steps, **clocks)

    def answer(self, function: Callable[[Run], Any], gradients: bool = False) -> Any:
        """What `function` makes of the run, in eval and inference mode, or with `gradients` so that it can derive. The
        step's own gradients and every random state are as before.
        """
        run, before = self.run, RandomState(self.recipe.device)
        run.model.eval()
        kept = [parameter.grad for parameter in run.model.parameters()]
        if gradients:
            run.model.zero_grad(set_to_none=True)
        try:
            with torch.enable_grad() if gradients else torch.inference_mode():
                return function(run)
        finally:
            before.restore()
            for parameter, gradient in zip(run.model.parameters(), kept, strict=True):
                parameter.grad = gradient

    def close(self) -> None:
        """End the loop where it stands; the network can still be asked."""
        if self.run:
            self._events.close()

    def _record(self, end: EpochEnd) -> None:
        steps, elapsed = self.history.steps, self.clock.read()
        before_steps, before = self._last_epoch
        self._last_epoch = (steps, elapsed)
        row = Epoch(
            epoch=end.epoch,
            step=steps,
            train_loss=end.train.loss,
            train_accuracy=end.train.accuracy,
            val_loss=end.validation.loss,
            val_accuracy=end.validation.accuracy,
            lr=end.lr,
            seconds=self.working,
            steps_per_second=(steps - before_steps) / (elapsed - before) if elapsed > before else 0.0,
        )
        self.predicted = end.validation.predicted
        self.history.add_epoch(row)
        stop = self.run.recipe.stop
        if stop.not_a_number and not math.isfinite(row.train_loss + row.val_loss):
            self.look()
            raise DivergenceError(steps, row.lr)
        if self._films(end.epoch):
            self.film = self.film.plus(self._camera.frame(end.epoch, steps))
        self._random.save()  # for what is captured here
        if row is self.history.best:
            self.best = self.capture()
        self.reason = stop.after_epoch(self.history)
        self.over = bool(self.reason)

    def _films(self, epoch: int) -> bool:
        """Whether the frame of the epoch in hand is kept."""
        return self.film.wants(epoch, last=epoch == self.recipe.epochs)

    def _follow_changes(self) -> None:
        """Train by what the history says of this step: of changes just made, and of those that a run repeats which goes
        on from an earlier place.
        """
        coming = self.history.changes[self._followed :]
        if coming and coming[0].step <= self._settled:
            self._followed += sum(change.step <= self._settled for change in coming)
            self._read_changes()
            steer_run(self.run, self.recipe)

    def _plan_operations(self) -> None:
        made = self.history.changes
        self._operations = [one for one in made if is_operation(one.setting) and one.step >= self._operated]

    @property
    def _steps_next(self) -> bool:
        """Whether the next event is a training step; else it belongs to an evaluation, or there is none."""
        return self.place.steps < self.steps_per_epoch and self.place.epochs < self.recipe.epochs

    def _operate(self) -> None:
        """Do what is due right before a step, so that no checkpoint is ever between an operation and its step."""
        for change in self._operations:
            if change.step <= self.history.steps:
                operate(self.run, change)
        self._operated = self.history.steps + 1
        self._plan_operations()

    def _read_changes(self) -> None:
        """What the history makes of the settings where it stands."""
        self.recipe = self._recipe_at(self.history.steps)
        self.pace = pace_at(self.history)

    def _recipe_at(self, step: int) -> Recipe:
        return recipe_at(self.first_recipe, self.history, self.branch, step)

    @property
    def _settled(self) -> int:
        """The step up to which changes count: those after an epoch's last step wait until it is evaluated."""
        return self.history.steps - (self.place.steps == self.steps_per_epoch)

    def _over_already(self) -> str:
        """Why a run is over that was interrupted between an epoch's end and its own; not by rules of its parent, nor
        when it went on from there, by rules that were changed.
        """
        step = self.history.steps
        if self.place.steps or step == (self.branch.step if self.branch else 0):
            return ""
        before, now = (self._recipe_at(at).stop.after_epoch(self.history) for at in (step - 1, step))
        return now if before else ""
