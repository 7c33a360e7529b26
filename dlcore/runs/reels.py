"""Reels: the frames of a run's film on disk, in its folder.

    frames/0-198-2.pt    the frames of epochs 0, 2, … 198, one tensor a weight for all of them
    frames/210-210-1.pt  that of one epoch

The names alone tell which epochs are kept; a file is read when one of its frames is asked for. It appears whole or not
at all, and everything in it is checked before it is used. Functions raise OSError when the disk fails.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.datasets import DataError
from dlcore.later import torch
from dlcore.recipe import Recipe
from dlcore.runs import checkpoints
from dlcore.runs.checkpoints import FORMAT, OTHER_NETWORK, CheckpointError, form, is_count, is_dict, is_plain

FOLDER = "frames"
TOGETHER = 1_000_000  # bytes of frames in a reel, unless one has more: so much is read to see one of them
LONGEST = 1000  # frames in a reel
NOT_OURS = "it holds no frames of dlcore"


class Frame(NamedTuple):
    """A network as it was after an epoch, on the CPU. What moved is empty where it is not known: at the start, and when
    the run was interrupted between the epoch's last step and its end.
    """

    epoch: int
    step: int  # of the run
    weights: Mapping[str, torch.Tensor]  # its state dict
    moved: Mapping[str, float]  # by parameter: the norm of what the epoch's last step changed in it

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(value.nbytes for value in self.weights.values())


class Shelf(NamedTuple):
    """Where a run's reels are."""

    folder: Path  # the run's
    recipe: Recipe  # whose network the frames are of


class Reel(NamedTuple):
    """A file with frames."""

    epochs: range
    file: Path


def reels(folder: Path) -> list[Reel]:
    """Those on disk, first to last."""
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        for file in (folder / FOLDER).iterdir():
            match = re.fullmatch(r"(\d{1,9})-(\d{1,9})-([1-9]\d{0,8})\.pt", file.name)
            if match and file.is_file():
                first, last, every = map(int, match.groups())
                epochs = range(first, last + 1, every)
                if 0 < len(epochs) <= LONGEST and epochs[-1] == last:
                    found.append(Reel(epochs, file))
    return sorted(found, key=lambda reel: (reel.epochs[0], reel.epochs[-1], reel.file))


def epochs(folder: Path) -> list[int]:
    """Whose frames are on disk, as far as names tell it, first to last."""
    return sorted({epoch for reel in reels(folder) for epoch in reel.epochs})


def size(folder: Path) -> int:
    """Bytes of all reels."""
    return sum(reel.file.stat().st_size for reel in reels(folder))


# Reading


def read(shelf: Shelf, epoch: int) -> Frame:
    """Raises CheckpointError when it is not there, or cannot be used."""
    reason = CheckpointError("it is not there any more")
    for _ in range(2):  # a reel may be written anew meanwhile, under another name
        for reel in reels(shelf.folder):
            if epoch in reel.epochs:
                try:
                    return _read(reel, shelf.recipe)[epoch]
                except CheckpointError as error:
                    reason = error
    raise reason


def read_all(shelf: Shelf) -> tuple[dict[int, Frame], list[str]]:
    """The frames by epoch, and a sentence on every reel that was passed over because it cannot be used."""
    found, passed = {}, []
    for reel in reels(shelf.folder):
        try:
            found |= _read(reel, shelf.recipe)
        except CheckpointError as error:
            passed.append(f"The frames {reel.file.name} of run {shelf.folder.name} were passed over: {error}.")
    return found, passed


def _read(reel: Reel, recipe: Recipe | None = None) -> dict[int, Frame]:
    """By epoch; of the network that the recipe makes, if it is given. Raises CheckpointError."""
    values = checkpoints.load(reel.file, NOT_OURS)
    if not _has_types(values, reel.epochs):
        raise CheckpointError(NOT_OURS)
    many, weights = len(reel.epochs), values["weights"]
    if any(value.dim() == 0 or len(value) != many for value in weights.values()):
        raise CheckpointError(NOT_OURS)
    if recipe and {name: (value.shape[1:], value.dtype) for name, value in weights.items()} != _form(recipe):
        raise CheckpointError(OTHER_NETWORK.format(recipe.model.kind))
    if not all(moved.keys() <= weights.keys() for moved in values["moved"]):
        raise CheckpointError(NOT_OURS)
    return {
        epoch: Frame(epoch, step, {name: value[place] for name, value in weights.items()}, moved)
        for place, (epoch, step, moved) in enumerate(zip(reel.epochs, values["steps"], values["moved"], strict=True))
    }


def _has_types(values: dict[str, Any], epochs: range) -> bool:
    """Whether every value is what `_write` puts there, for these epochs."""
    steps, moved = values.get("steps"), values.get("moved")
    return (
        values.keys() == {"format", "epochs", "steps", "moved", "weights"}
        and values["epochs"] == list(epochs)
        and isinstance(steps, list)
        and all(map(is_count, steps))
        and isinstance(moved, list)
        and all(is_dict(one, str, lambda norm: type(norm) is float) for one in moved)
        and len(steps) == len(moved) == len(epochs)
        and is_dict(values["weights"], str, is_plain)
    )


@functools.lru_cache(maxsize=8)
def _form(recipe: Recipe) -> dict[str, Any]:
    """What the weights of its network are like. Raises CheckpointError."""
    try:
        return form(skeleton(recipe.model, recipe.inputs, recipe.outputs).state_dict())
    except DataError as error:
        raise CheckpointError(f"its network cannot be built, for {error}") from error


# Writing


def save(folder: Path, wanted: Sequence[int], frames: Sequence[Frame], again: bool) -> bool:
    """`keep` for a run that trains; `again`: the folder took another one's place, and may hold frames of another course
    in place of these.
    """
    if again and frames:
        remove_after(folder, frames[0].epoch - 1)
    return keep(folder, wanted, frames)


def keep(folder: Path, wanted: Iterable[int], frames: Sequence[Frame]) -> bool:
    """Have the frames of these epochs on disk and no others: those that are there already, or else among the `frames`.
    Whether that changed anything. What it breaks off in, the next time completes.
    """
    wanted, there = set(wanted), reels(folder)
    staying = [reel for reel in there if wanted.issuperset(reel.epochs)]
    missing = wanted.difference(*(reel.epochs for reel in staying))
    going = [reel for reel in there if reel not in staying]
    found = {frame.epoch: frame for frame in frames if frame.epoch in missing}
    for reel in going:
        if not found.keys() >= missing.intersection(reel.epochs):
            with contextlib.suppress(CheckpointError):  # what nobody can see any more is not kept
                found = {epoch: frame for epoch, frame in _read(reel).items() if epoch in missing} | found
    for group in _grouped([found[epoch] for epoch in sorted(found)]):
        _write(group, folder)
    for reel in going:
        reel.file.unlink(missing_ok=True)
    return bool(found or going)


def remove_after(folder: Path, epoch: int) -> None:
    """Remove the frames of later epochs, and what was not written whole."""
    keep(folder, [kept for kept in epochs(folder) if kept <= epoch], ())
    for file in (folder / FOLDER).glob("*.partial"):
        if file.is_file():
            file.unlink(missing_ok=True)


def _grouped(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Those that can share a reel: evenly spaced, of the same network, and not too many bytes."""
    group: list[Frame] = []
    for frame in frames:
        even = len(group) < 2 or frame.epoch - group[-1].epoch == group[-1].epoch - group[-2].epoch
        few = (len(group) + 1) * frame.size <= TOGETHER and len(group) < LONGEST
        if group and not (even and few and form(frame.weights) == form(group[-1].weights)):
            yield group
            group = []
        group.append(frame)
    if group:
        yield group


def _write(group: list[Frame], folder: Path) -> None:
    first, last, every = group[0].epoch, group[-1].epoch, group[1].epoch - group[0].epoch if len(group) > 1 else 1
    values = {
        "format": FORMAT,
        "epochs": [frame.epoch for frame in group],
        "steps": [frame.step for frame in group],
        "moved": [dict(frame.moved) for frame in group],
        "weights": {name: torch.stack([frame.weights[name] for frame in group]) for name in group[0].weights},
    }
    (folder / FOLDER).mkdir(exist_ok=True)
    checkpoints.save(values, folder / FOLDER / f"{first}-{last}-{every}.pt", sum(frame.size for frame in group))
