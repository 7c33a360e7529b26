"""A run's folder: who holds its lock, which checkpoints are in it, and which of them are worth keeping.

    epoch-3.pt      a checkpoint (epoch-3+20.pt: 20 steps into epoch 4)
    lock            held by the process that trains the run; it ends with that process, however that ended
    run.json        what the run is (`manifest`)
    frames/         its film (`reels`)

Functions raise OSError when the disk fails.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from dlcore.runs import checkpoints as files
from dlcore.runs import reels
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.records import Record, Stored

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None


class Kept(NamedTuple):
    """A checkpoint on disk."""

    epoch: int  # whole epochs done
    place: int  # steps done of the one after
    file: Path


def runs_root() -> Path:
    """Where runs are kept: `runs/` below the working directory, unless DLCORE_RUNS says otherwise."""
    return Path(os.environ.get("DLCORE_RUNS") or "runs")


def numbers(root: Path) -> list[int]:
    """The numbers that runs' folders have, lowest first."""
    return sorted(int(file.name) for file in root.iterdir() if re.fullmatch("[1-9][0-9]{0,17}", file.name))


def file_identity(file: Path) -> tuple[int, int, bool] | None:
    """Which file on a disk is at a path, and whether it is empty; None when there is none."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return None
    return stat.st_dev, stat.st_ino, not stat.st_size


# The lock


def lock(folder: Path) -> FileLock | None:
    """Become the one that writes a run, in a folder that is made if it is not there; None when somebody else is."""
    held = FileLock(folder / "lock", thread_local=False)
    folder.mkdir(exist_ok=True)
    try:
        with _looking(folder.parent):
            held.acquire(timeout=1)  # someone who only looks holds it for a moment
    except Timeout:
        return None
    return held


def is_locked(folder: Path) -> bool:
    """Whether some process trains the run. One that has the lock itself must not ask."""
    file = folder / "lock"
    try:
        if fcntl:
            with file.open("rb") as stream:  # shared with all who look, or they would take each other for its holder
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:
            with _looking(folder.parent), FileLock(file, timeout=0):
                pass
    except (BlockingIOError, Timeout):
        return True
    except OSError:
        return False  # nobody ever held it, or nobody can
    return False


@contextlib.contextmanager
def _looking(root: Path) -> Iterator[None]:
    """Where who looks at a lock has to take it, one does so at a time: whoever else has it is the run's holder."""
    if fcntl:
        yield
    else:
        with FileLock(root / "looking.lock", poll_interval=0.005):
            yield


# Checkpoints


def checkpoints(folder: Path) -> list[Kept]:
    """Those on disk, latest first."""
    kept = []
    with contextlib.suppress(FileNotFoundError):
        for file in folder.iterdir() if folder.is_dir() else ():
            if match := re.fullmatch(r"epoch-(\d+)(?:\+(\d+))?\.pt", file.name):
                kept.append(Kept(int(match[1]), int(match[2] or 0), file))
    return sorted(kept, reverse=True)


def file_of(folder: Path, checkpoint: Checkpoint) -> Path:
    place = f"+{checkpoint.place}" if checkpoint.place else ""
    return folder / f"epoch-{checkpoint.epochs}{place}.pt"


def size(folder: Path) -> int:
    """Bytes of all its checkpoints, and of its film."""
    return reels.size(folder) + sum(file.stat().st_size for file in folder.glob("*.pt") if file.is_file())


def latest(folder: Path, run: Stored) -> tuple[Checkpoint | None, list[str]]:
    """The latest checkpoint that the run can go on from, or None; and a sentence on every one passed over."""
    passed = []
    for kept in checkpoints(folder):
        try:
            checkpoint = files.read(kept.file)
            if checkpoint.step <= run.history.steps:  # or it was saved just before the metrics were lost
                files.check_weights(checkpoint, run.recipe)
                return checkpoint, passed
        except CheckpointError as error:
            passed.append(passed_over(kept, run.number, error))
    return None, passed


def passed_over(kept: Kept, number: int, reason: Exception) -> str:
    """That a checkpoint cannot be used, as a sentence for people."""
    return f"The checkpoint {kept.file.name} of run {number} was passed over: {reason}."


def set_aside(folder: Path) -> str:
    """Give a folder that is where a checkpoint belongs another name; that it was done, as a sentence for people."""
    names = (folder.with_name(f"{folder.name}.{count}") for count in itertools.count(1))
    aside = folder.rename(next(name for name in names if not name.exists()))
    return f"{folder} is a checkpoint's place, but was a folder; that is now called {aside.name}."


def prune(folder: Path, run: Record, each: int) -> None:
    """Remove the checkpoints, of `each` bytes, that are not worth keeping."""
    best = run.history.best.epoch if run.history.best else 0
    kept = [one for one in checkpoints(folder) if one.file.is_file()]
    wanted = files.worth_keeping([one.epoch for one in kept if not one.place], best, each)
    if run.branch:
        wanted.add(run.branch.epoch)  # nothing before it could make it again
    for number, one in enumerate(kept):
        if (number > 0) if one.place else (one.epoch not in wanted):
            one.file.unlink(missing_ok=True)


def remove_after(folder: Path, place: tuple[int, int]) -> None:
    """Remove the checkpoints and frames after a place (whole epochs, steps of the one after), and what was not written
    whole.
    """
    later = [kept.file for kept in checkpoints(folder) if (kept.epoch, kept.place) > place]
    for file in [*later, *folder.glob("*.partial")]:
        if file.is_file():
            file.unlink(missing_ok=True)
    reels.remove_after(folder, place[0])
