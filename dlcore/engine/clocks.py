"""Clocks: how long a run has been under way, pauses left out."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Stopwatch:
    """Seconds that add up while it runs. It never changes: to start it is to have another one."""

    total: float = 0.0  # seconds, up to the last stop
    since: float | None = None  # on the monotonic clock, while it runs

    def read(self) -> float:
        return self.total if self.since is None else self.total + time.monotonic() - self.since

    def running(self, on: bool) -> "Stopwatch":
        if on == (self.since is not None):
            return self
        return Stopwatch(self.total, time.monotonic()) if on else Stopwatch(self.read())

    def plus(self, seconds: float) -> "Stopwatch":
        return Stopwatch(self.total + seconds, self.since)
