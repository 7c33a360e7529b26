"""Records: what is known of a run, whether it trains in this process (`engine.job`) or is read from the store."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import time
import unicodedata
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from dlcore.catalogue import devices
from dlcore.history import LOST, History
from dlcore.later import torch
from dlcore.recipe import Recipe, repeat
from dlcore.runs.film import MOST, Film
from dlcore.runs.operations import is_operation
from dlcore.settings import Problem, SettingsError

Status = Literal["queued", "preparing", "training", "paused", "finished", "stopped", "failed", "interrupted"]
PACE = "pace"  # what a change of the pace is filed under
PACES = (1e-6, 1e6)  # steps a second, from and to
ACTIVE: tuple[Status, ...] = ("queued", "preparing", "training", "paused")
LONGEST_NAME, LONGEST_NOTE, MOST_TAGS, LONGEST_TAG = 100, 10_000, 20, 40


@dataclass(frozen=True)
class Failure:
    """Why a run failed: a sentence for people, and the traceback behind it (none when the sentence says it all)."""

    text: str
    traceback: str = ""


@dataclass(frozen=True)
class Branch:
    """Where a run left its parent."""

    parent: int  # the parent's number
    epoch: int
    step: int


@dataclass(eq=False)
class Record:
    """A run as it is known. Its number names it, and gives it its colour on every page."""

    status: ClassVar[Status]
    elapsed: ClassVar[float]  # seconds on the clock, pauses left out
    stepping: ClassVar[float]  # seconds spent in training steps
    film: ClassVar[Film] = Film()  # what of it is at hand while the run trains

    number: int
    name: str
    first_recipe: Recipe  # as it began, before any change on the way
    history: History = field(default_factory=History)
    reason: str = ""  # why it ended before its last epoch, as part of a sentence
    failure: Failure | None = None
    race: int | None = None  # the number that all contestants share
    branch: Branch | None = None
    steps_per_epoch: int = 0  # 0 until the data are there
    offset: int = 0  # steps of the history that epochs of this length do not explain: a parent's, of another batch size
    created: float = field(default_factory=time.time)  # seconds since 1970
    threads: int = 0  # cores that a step's arithmetic uses, on which its last bits hang; 0 where that is not known

    def __post_init__(self):
        self.recipe = self.recipe_at(self.history.steps)  # as it is now

    def recipe_at(self, step: int) -> Recipe:
        """As it was after so many steps, changes made there included."""
        return recipe_at(self.first_recipe, self.history, self.branch, step)

    @property
    def id(self) -> str:
        """What the command line and the pages call it."""
        return str(self.number)

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs + self.offset if self.steps_per_epoch else 0

    @property
    def progress(self) -> float:
        """Share of the steps that are done."""
        return self.history.steps / self.total_steps if self.total_steps else 0.0

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return math.ceil((self.history.steps - self.offset) / self.steps_per_epoch) if self.steps_per_epoch else 0

    @property
    def remaining(self) -> float | None:
        """Seconds to go at the speed so far, or by the time budget; None before there is a speed."""
        if not (self.active and self.progress):
            return None
        budget = self.recipe.stop.minutes * 60 or math.inf
        return max(0.0, min(self.elapsed * (1 / self.progress - 1), budget - self.elapsed))

    @property
    def steps_per_second(self) -> float:
        """What a person gets: steps over the time on the clock, in which it also evaluates and waits for others."""
        return self.history.steps / self.elapsed if self.elapsed else 0.0


def recipe_at(first: Recipe, history: History, branch: Branch | None, step: int) -> Recipe:
    """What the changes on its way had made of a run's first recipe after so many steps."""
    start = branch.step if branch else 0  # what its parent changed before is in its first recipe
    made = [change for change in history.changes if start <= change.step <= step]
    changes = {one.setting: one.value for one in made if one.setting not in (PACE, LOST)}
    changes = {setting: value for setting, value in changes.items() if not is_operation(setting)}
    return repeat(first, changes) if changes else first


def pace_at(history: History) -> float | None:
    """The pace that was set last, in steps a second; None for full speed."""
    made = [change for change in history.changes if change.setting == PACE and change.step <= history.steps]
    return made[-1].value if made else None


@dataclass(eq=False, kw_only=True)
class Stored(Record):
    """A run as the store has it; it may be under way in another process."""

    status: Status = "interrupted"
    elapsed: float = 0.0
    stepping: float = 0.0
    note: str = ""
    tags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)  # what it ran on
    parent_name: str = ""
    size: int = 0  # bytes on disk
    rewinds: int = 0  # how often its history was cut back, so that it could go on
    deleted: float | None = None  # when, in seconds since 1970


def checked_name(text: str) -> str:
    """A run's name. Raises SettingsError for one that is empty, too long, or not a line of text."""
    name = text.strip()
    if 1 <= len(name) <= LONGEST_NAME and not _unprintable(name):
        return name
    told = f"A run's name is one line of 1 to {LONGEST_NAME} letters; this one has {len(name):,}"
    raise SettingsError([Problem("name", f"{told}{', some of them not printable' if _unprintable(name) else ''}.")])


def checked_pace(pace: float | None) -> None:
    """Raises SettingsError for a pace, in steps a second, that cannot be."""
    low, high = PACES
    if pace is not None and not low <= pace <= high:
        told = f"pace is {pace:g}; it takes from {low:g} to {high:,.0f} steps a second, or none for full speed."
        raise SettingsError([Problem(PACE, told)])


def checked_threads(threads: int) -> int:
    """How many cores a step may use. Raises SettingsError for more than there are, or none."""
    cores = os.cpu_count() or 1
    if not 1 <= threads <= cores:
        told = f"threads is {threads}; this machine has {cores} core{'s' * (cores > 1)}, so it takes 1 to {cores}."
        raise SettingsError([Problem("threads", told)])
    return threads


def checked_frames(frames: int) -> int:
    """How many frames a film may have. Raises SettingsError for a number that cannot be."""
    if not 0 <= frames <= MOST:
        told = f"frames is {frames}; a film has up to {MOST} frames, so it takes 0 to {MOST}."
        raise SettingsError([Problem("frames", told)])
    return frames


def branch_name(parent: str, epoch: int) -> str:
    """What a branch is called unless its maker says otherwise."""
    ending = f", from epoch {epoch}"
    return parent[: LONGEST_NAME - len(ending)] + ending


def checked_note(text: str) -> str:
    if len(text) <= LONGEST_NOTE and not _unprintable(text, besides="\n\t"):
        return text
    told = f"A note has at most {LONGEST_NOTE:,} printable letters; this one has {len(text):,} letters."
    raise SettingsError([Problem("note", told)])


def checked_tags(tags: list[str]) -> tuple[str, ...]:
    """Tags without repetition, in their order."""
    found = tuple(dict.fromkeys(stripped for tag in tags if (stripped := tag.strip())))
    if len(found) > MOST_TAGS or any(len(tag) > LONGEST_TAG or _unprintable(tag) for tag in found):
        told = f"A run has at most {MOST_TAGS} tags of 1 to {LONGEST_TAG} printable letters."
        raise SettingsError([Problem("tags", told)])
    return found


def _unprintable(text: str, besides: str = "") -> bool:
    """Whether there are control characters, or halves of characters that no file can hold."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in besides for letter in text)


def environment(device: str, threads: int = 0) -> dict[str, str]:
    """What a run's numbers and speed hang on besides its recipe; `threads`, where they are known. Of a run from another
    machine, its device may be one that this one lacks.
    """
    name = platform.processor() or platform.machine()
    if device == "cuda":
        name = torch.cuda.get_device_name() if torch.cuda.is_available() else devices.TITLES[device]
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy")}
    found = {"python": platform.python_version(), **versions, "system": platform.platform(terse=True), "device": name}
    return found | ({"threads": str(threads)} if threads else {})
