"""Moments: a run as it is at one time, so that all that a page draws of it tells of the same steps."""

from dataclasses import dataclass

import numpy as np

from dlcore.engine.jobs import Job
from dlcore.runs.records import Record, Status

TAKEN = (
    *("status", "number", "name", "first_recipe", "reason", "failure", "race", "branch", "created"),
    *("steps_per_epoch", "offset", "elapsed", "stepping", "steps_per_second"),
    *("targets", "predicted", "downloaded", "trouble"),
)


@dataclass(eq=False, kw_only=True)
class Moment(Record):
    """A job as it was: nothing of it changes any more, while the job goes on. See `Job` for what its own parts mean."""

    status: Status = "preparing"
    elapsed: float = 0.0
    stepping: float = 0.0
    steps_per_second: float = 0.0
    targets: np.ndarray | None = None
    predicted: np.ndarray | None = None
    downloaded: float = 0.0
    trouble: str = ""
    notices: tuple[str, ...] = ()


def moment_of(job: Job) -> Moment:
    """A job as it is now; may be called by any thread."""
    known = {name: getattr(job, name) for name in TAKEN}  # the status first: who reads `finished` finds all steps below
    return Moment(**known, notices=tuple(job.notices), history=job.history.frozen())
