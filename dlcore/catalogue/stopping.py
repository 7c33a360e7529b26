"""Stopping: the rules that end a run before its last epoch."""

from typing import Annotated

from pydantic import Field

from dlcore.catalogue.datasets import Data
from dlcore.catalogue.tasks import task_of
from dlcore.history import History
from dlcore.settings import Problem, Settings, Slider


class Stopping(Settings):
    """When a run ends early. A rule that is 0 is off."""

    accuracy: Annotated[float, Slider(0, 1)] = Field(
        0.0, ge=0, le=1, title="Target accuracy", description="End once validation accuracy is this high; 0 is never."
    )
    patience: int = Field(
        0,
        ge=0,
        le=100000,
        title="Patience",
        description="End after this many epochs in a row without a new lowest validation loss; 0 is never.",
    )
    minutes: float = Field(
        0.0,
        ge=0,
        le=100000,
        title="Time budget",
        description="End after this many minutes, pauses left out; 0 is never.",
    )
    not_a_number: bool = Field(
        True, title="Not a number", description="End, as failed, once the loss is no longer a finite number."
    )

    def problems(self, data: Data) -> list[Problem]:
        if not self.accuracy or task_of(data.spec()).measures_accuracy:
            return []
        text = (
            f"stop.accuracy is {self.accuracy:g}, but {data.kind} has numbers as targets, which have no accuracy; set "
            "it to 0, or use stop.patience."
        )
        return [Problem("stop.accuracy", text, {"stop.accuracy": 0.0})]

    def after_epoch(self, history: History) -> str:
        """Why a run should end after its last epoch, as part of a sentence; empty while it should go on."""
        if not history.epochs:
            return ""
        last = history.epochs[-1]
        if self.accuracy and (last.val_accuracy or 0) >= self.accuracy:
            return f"validation accuracy reached {last.val_accuracy:.2%}, the target was {self.accuracy:.2%}"
        if self.patience and last.epoch - history.lowest_epoch >= self.patience:
            return f"validation loss has not fallen since epoch {history.lowest_epoch}"
        return ""

    def out_of_time(self, seconds: float) -> str:
        """The same for a run that has trained this long."""
        return f"its {self.minutes:g} minutes are over" if self.minutes and seconds >= self.minutes * 60 else ""
