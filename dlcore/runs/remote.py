"""Remote: a run that another process trains, asked in the words in which a job of this one is (`engine.job`)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from dlcore.recipe import Recipe
from dlcore.runs.commands import Command
from dlcore.runs.records import Stored
from dlcore.runs.store import Store, StoreError

POLL = 0.05  # seconds between two looks for an answer


class Remote:
    """What can be asked of a run under way elsewhere. Methods raise StoreError with the reason when it is refused, and
    SettingsError for what nobody could do; they return whether it was answered within `patience` seconds: it is heard
    between two steps, which may be long.
    """

    def __init__(self, store: Store, run: Stored, patience: float = 60.0):
        self.number, self.active = run.number, run.active
        self._store, self._patience = store, patience

    def pause(self) -> bool:
        return self._ask("pause")

    def resume(self) -> bool:
        return self._ask("resume")

    def step(self) -> bool:
        """Take one training step and be paused."""
        return self._ask("step")

    def stop(self) -> bool:
        """End after the step in hand; what was learned is kept."""
        return self._ask("stop")

    def set_pace(self, pace: float | None) -> bool:
        """Steps a second at most, or None for full speed."""
        return self._ask("pace", pace)

    def steer(self, changes: Mapping[str, Any]) -> bool:
        """Change settings before the next step, by dotted path; waits until the store has them, too."""
        return self._ask("steer", dict(changes)) and self._wait(lambda: self._has(changes))

    @property
    def wanted(self) -> Recipe:
        """The recipe by which it trains, as far as the store knows."""
        return self._store.open(self.number).recipe

    def _has(self, changes: Mapping[str, Any]) -> bool:
        made = {change.setting: change.value for change in self._store.open(self.number).history.changes}
        return all(made.get(path) == value for path, value in changes.items())

    def _ask(self, command: Command, value: Any = None) -> bool:
        id = self._store.ask_run(self.number, command, value)
        answered = self._wait(lambda: self._store.answer_of(id) is not None)
        if answered and (sentence := self._store.answer_of(id)):
            raise StoreError(sentence)
        return answered

    def _wait(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + self._patience
        while not (met := condition()) and time.monotonic() < end:
            time.sleep(POLL)
        return met
