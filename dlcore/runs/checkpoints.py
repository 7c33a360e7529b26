"""Checkpoints: everything that a run's next step hangs on besides its recipe and its data, so that it can go on bit for
bit; in memory, and as files.

A file is torch's own format, a zip whose parts carry check sums. It appears whole or not at all, is checked before it
is read, and nothing in it is unpickled but tensors and plain values.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.datasets import DataError
from dlcore.later import torch
from dlcore.recipe import Recipe

FORMAT = 1
KEPT = 20  # checkpoints along a run, to branch from
ROOM = 500_000_000  # bytes that those may take; the best and the last two are kept whatever their size
MOST = 10**15  # of whatever is counted
LARGEST = 1e11  # amount of anything else, such as seconds: a database, or a calendar, holds little more

OTHER_NETWORK = "it holds the weights of another network than this {}"
PLAIN = ("float16", "bfloat16", "float32", "float64", "int32", "int64", "uint8", "bool")
NOT_OURS = "it is not a checkpoint of dlcore"


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the text is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run between two steps. All tensors are copies on the CPU."""

    epochs: int  # done, evaluation included
    place: int  # steps done of the epoch after them
    step: int  # steps in the run's history, those of a parent included
    elapsed: float  # seconds on the clock
    stepping: float  # seconds in training steps
    working: float  # seconds in training and evaluation
    seed: int
    optimizer_kind: str
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    random: dict[str, torch.Tensor]  # generator states by device
    mean: torch.Tensor  # of the training data, for those who ask without loading them
    std: torch.Tensor
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(value.numel() * value.element_size() for value in _tensors([self.model, self.optimizer]))


def check_weights(checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Raises CheckpointError when the recipe makes another network, or its optimizer remembers something else."""
    try:
        model = skeleton(recipe.model, recipe.inputs, recipe.outputs)
    except DataError as error:
        raise CheckpointError(f"its network cannot be built, for {error}") from error
    if form(checkpoint.model) != form(model.state_dict()):
        raise CheckpointError(OTHER_NETWORK.format(recipe.model.kind))
    same = checkpoint.optimizer_kind == recipe.optimizer.kind
    if same and not _is_memory_of(checkpoint.optimizer, recipe.model.groups(model), recipe.optimizer.single):
        raise CheckpointError("its optimizer's memory does not fit this run")


def fits(parent: Recipe, recipe: Recipe) -> bool:
    """Whether weights of one recipe can go on learning by another."""
    one, other = (skeleton(made.model, made.inputs, made.outputs).state_dict() for made in (parent, recipe))
    return form(one) == form(other)


def form(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    """What two networks have in common that can have the same weights."""
    return {name: (value.shape, value.dtype) for name, value in weights.items()}


def _is_memory_of(memory: dict[str, Any], groups: list[dict[str, Any]], single: Sequence[str]) -> bool:
    """Whether an optimizer of these groups that goes on from this finds numbers of the right shape for every parameter,
    or a `single` one.

    PyTorch numbers parameters from 0, through all groups.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    numbers = itertools.count()
    numbered = [[next(numbers) for _ in group["params"]] for group in groups]
    if [group["params"] for group in memory["param_groups"]] != numbered:
        return False
    if not memory["state"].keys() <= set(range(len(parameters))):
        return False
    return all(
        value is None or (is_plain(value) and value.shape == (() if name in single else parameters[place].shape))
        for place, state in memory["state"].items()
        for name, value in state.items()
    )


def write(checkpoint: Checkpoint, file: Path) -> None:
    """Write so that the file is whole or not there, whatever happens meanwhile. Raises OSError."""
    save(vars(checkpoint), file, checkpoint.size)


def save(values: dict[str, Any], file: Path, size: int) -> None:
    """Write tensors and plain values, of about so many bytes, in the same way."""
    with whole(file) as partial:
        try:
            torch.save(values, partial)
        except RuntimeError as error:  # torch's writer hides the OSError
            if shutil.disk_usage(partial.parent).free < size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error
            raise OSError(f"writing {file.name} failed: {str(error).splitlines()[0]}") from error


def copy(stream: BinaryIO, file: Path) -> None:
    """Write what a stream holds, in the same way."""
    with whole(file) as partial, partial.open("wb") as copied:
        shutil.copyfileobj(stream, copied)


@contextlib.contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place to write to; what was written there then takes the file's."""
    partial = file.with_suffix(".partial")
    try:
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)  # on a full disk, others can use the room


def read(file: Path) -> Checkpoint:
    """Raises CheckpointError for what is damaged, of a newer format, or not a checkpoint of ours; and for one whose
    weights are no numbers, from which nothing can go on.
    """
    values = load(file)
    try:
        checkpoint = Checkpoint(**values)
    except TypeError as error:
        raise CheckpointError(NOT_OURS) from error
    if not _has_types(checkpoint):
        raise CheckpointError(NOT_OURS)
    if not all(value.isfinite().all() for value in checkpoint.model.values()):
        raise CheckpointError("it holds weights that are no numbers")
    return checkpoint


def load(file: Path, not_ours: str = NOT_OURS) -> dict[str, Any]:
    """The values that were saved in a file, of which only the format is checked. Raises CheckpointError."""
    if file.is_dir():
        raise CheckpointError("it is a folder")
    if file.exists() and not file.is_file():  # such as a pipe, which might never end
        raise CheckpointError("it is no file")
    try:
        with zipfile.ZipFile(file) as parts:
            if damaged := parts.testzip():
                raise CheckpointError(f"it is damaged (at {damaged})")
        values = torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError("it is not there any more") from error
    except Exception as error:  # a file of any content can fail in any way
        raise CheckpointError(f"it is damaged ({type(error).__name__})") from error
    if not isinstance(values, dict) or not is_count(values.get("format")):
        raise CheckpointError(not_ours)
    if values["format"] > FORMAT:
        raise CheckpointError(f"it has format {values['format']}, and this dlcore reads up to {FORMAT}: update dlcore")
    return values


def _has_types(found: Checkpoint) -> bool:
    """Whether every field holds what `capture` puts there."""
    counts = (found.epochs, found.place, found.step, found.seed)
    return (
        all(map(is_count, counts))
        and all(map(_is_amount, (found.elapsed, found.stepping, found.working)))
        and isinstance(found.optimizer_kind, str)
        and is_dict(found.model, str, is_plain)
        and _is_memory(found.optimizer)
        and is_dict(found.random, str, lambda value: is_plain(value) and value.dtype == torch.uint8)
        and _is_generators(found.random.get("cpu"))
        and all(is_plain(value) and value.is_floating_point() for value in (found.mean, found.std))
    )


def _is_memory(value: Any) -> bool:
    """Whether this is the state of an optimizer, as far as it can be told without one."""
    if not (is_dict(value, str) and is_dict(value.get("state"), int, lambda state: is_dict(state, str))):
        return False
    groups = value.get("param_groups")
    return isinstance(groups, list) and all(
        is_dict(group, str)
        and isinstance(group.get("params"), list)
        and all(map(is_count, group["params"]))
        and _is_amount(group.get("lr"))
        for group in groups
    )


def _is_generators(state: torch.Tensor | None) -> bool:
    """Whether a generator of the CPU can be in this state."""
    try:
        torch.Generator().set_state(state)
    except (TypeError, RuntimeError):
        return False
    return True


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _is_amount(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= LARGEST


def is_dict(value: Any, key: type, fits: Callable[[Any], bool] = lambda item: True) -> bool:
    return isinstance(value, dict) and all(type(name) is key and fits(item) for name, item in value.items())


def is_plain(value: Any) -> bool:
    """Whether this is a tensor whose numbers are all there, one by one: other kinds fail later, or grow when used."""
    if (
        not isinstance(value, torch.Tensor)
        or value.device.type != "cpu"
        or value.layout != torch.strided
        or value.is_nested
    ):
        return False
    return str(value.dtype).removeprefix("torch.") in PLAIN and value.nbytes <= value.untyped_storage().nbytes()


def worth_keeping(epochs: Iterable[int], best: int, size: int) -> set[int]:
    """Which epochs' checkpoints, of `size` bytes each, to keep: the last two, the best, and those along the run."""
    found = sorted(epochs)
    every = distance(found[-1], size) if found else 1
    return {epoch for epoch in found if epoch % every == 0 or epoch == best} | set(found[-2:])


def distance(epoch: int, size: int) -> int:
    """Up to this epoch, of every how many to keep the checkpoint, of `size` bytes: ten to twenty are kept, fewer if
    there is no room, and the distance doubles as the run goes on.
    """
    most, every = max(1, min(KEPT, ROOM // max(size, 1))), 1
    while epoch > every * most:
        every *= 2
    return every


def _tensors(value: Any) -> Iterable[torch.Tensor]:
    match value:
        case torch.Tensor():
            yield value
        case dict():
            for item in value.values():
                yield from _tensors(item)
        case list():
            for item in value:
                yield from _tensors(item)
