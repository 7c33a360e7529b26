"""Checkpoints: everything that a run's next step hangs on besides its recipe and its data, so that it can go on bit for
bit; in memory, and as files.

A file is torch's own format, a zip whose parts carry check sums. It appears whole or not at all, is checked before it
is read, and nothing in it is unpickled but tensors and plain values.
"""

import errno
import os
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dlcore.architectures import skeleton
from dlcore.randomness import RandomState
from dlcore.recipe import Recipe
from dlcore.splits import Dataset, Split
from dlcore.training import Place, Run, to_device

FORMAT = 1
KEPT = 20  # checkpoints along a run, to branch from
ROOM = 500_000_000  # bytes that those may take; the best and the last two are kept whatever their size

OTHER_NETWORK = "it holds the weights of another network than this {}"


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
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    random: dict[str, Tensor]  # generator states by device
    mean: Tensor  # of the training data, for those who ask without loading them
    std: Tensor
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(value.numel() * value.element_size() for value in _tensors([self.model, self.optimizer]))


def capture(run: Run, random: RandomState, epochs: int, place: int, **clocks: float) -> Checkpoint:
    """A copy of the run as it stands; `clocks` are its step, elapsed, stepping and working."""
    return Checkpoint(
        epochs=epochs,
        place=place,
        seed=run.recipe.seed,
        optimizer_kind=run.recipe.optimizer.kind,
        model=_copy(run.model.state_dict()),
        optimizer=_copy(run.optimizer.state_dict()),
        random=_copy(random.states),
        mean=_copy(run.data.mean),
        std=_copy(run.data.std),
        **clocks,
    )


def restore(run: Run, checkpoint: Checkpoint) -> tuple[RandomState, Place]:
    """Bring a run that was just built to where the checkpoint stands. Raises CheckpointError when it does not fit.

    Settings of the optimizer follow the run's recipe; another kind of optimizer starts with no memory of gradients, and
    another seed with random numbers of its own.
    """
    load_weights(run.model, checkpoint.model, run.recipe)
    if checkpoint.optimizer_kind == run.recipe.optimizer.kind:
        try:
            run.optimizer.load_state_dict(_copy(checkpoint.optimizer))  # which would train on what it is given
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"its optimizer's memory does not fit this run ({error})") from error
        _lay_out(run.optimizer)
        run.recipe.optimizer.steer(run.optimizer)
        for group in run.optimizer.param_groups:  # what an epoch's end tells, should no step come before it
            group["lr"] = checkpoint.optimizer["param_groups"][0]["lr"]
    states = checkpoint.random if checkpoint.seed == run.recipe.seed else None
    return RandomState(run.recipe.device, states), Place(checkpoint.epochs, checkpoint.place)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay its memory out as the weights are, which differs from device to device: fused steps take that for granted."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def load_weights(model: torch.nn.Module, weights: dict[str, Tensor], recipe: Recipe, assign: bool = False) -> None:
    """Copy weights into a network; with `assign` they become its own. Raises CheckpointError when they do not fit."""
    try:
        model.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        raise CheckpointError(OTHER_NETWORK.format(recipe.model.kind)) from error


def check_weights(checkpoint: Checkpoint, recipe: Recipe) -> None:
    """Raises CheckpointError when the recipe makes another network."""
    if {name: value.shape for name, value in checkpoint.model.items()} != _shapes(recipe):
        raise CheckpointError(OTHER_NETWORK.format(recipe.model.kind))


def fits(parent: Recipe, recipe: Recipe) -> bool:
    """Whether weights of one recipe can go on learning by another."""
    return _shapes(parent) == _shapes(recipe)


def _shapes(recipe: Recipe) -> dict[str, torch.Size]:
    weights = skeleton(recipe.model, recipe.data.shape, recipe.outputs).state_dict()
    return {name: value.shape for name, value in weights.items()}


def network(recipe: Recipe, checkpoint: Checkpoint) -> Run:
    """A run that can be asked, on the CPU and without any samples; any thread may build one. Raises CheckpointError."""
    model = skeleton(recipe.model, recipe.data.shape, recipe.outputs)
    load_weights(model, checkpoint.model, recipe, assign=True)
    to_device(model, "cpu")
    none = Split(torch.empty(0), torch.empty(0))
    data = Dataset(none, none, none, mean=checkpoint.mean, std=checkpoint.std)
    return Run(recipe.model_copy(update={"device": "cpu"}), data, model, recipe.optimizer.build(model.parameters()))


def write(checkpoint: Checkpoint, file: Path) -> None:
    """Write so that the file is whole or not there, whatever happens meanwhile. Raises OSError."""
    partial = file.with_suffix(".partial")
    try:
        torch.save(vars(checkpoint), partial)
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.replace(file)
    except RuntimeError as error:  # torch's writer hides the OSError
        if shutil.disk_usage(partial.parent).free < checkpoint.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error
        raise OSError(f"writing {file.name} failed: {str(error).splitlines()[0]}") from error
    finally:
        partial.unlink(missing_ok=True)  # on a full disk, others can use the room


def read(file: Path) -> Checkpoint:
    """Raises CheckpointError for what is damaged, of a newer format, or not a checkpoint of ours."""
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
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise CheckpointError("it is not a checkpoint of dlcore")
    if values["format"] > FORMAT:
        raise CheckpointError(f"it has format {values['format']}, and this dlcore reads up to {FORMAT}: update dlcore")
    try:
        return Checkpoint(**values)
    except TypeError as error:
        raise CheckpointError("it is not a checkpoint of dlcore") from error


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


def _copy(value: Any) -> Any:
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list() | tuple():
            return [_copy(item) for item in value]
    return value


def _tensors(value: Any) -> Iterable[Tensor]:
    match value:
        case Tensor():
            yield value
        case dict():
            for item in value.values():
                yield from _tensors(item)
        case list():
            for item in value:
                yield from _tensors(item)
