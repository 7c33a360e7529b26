"""Capture: a run in training as a checkpoint, and back, bit for bit."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.splits import Dataset, Split
from dlcore.engine.randomness import RandomState
from dlcore.engine.training import Place, Run, to_device
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import OTHER_NETWORK, Checkpoint, CheckpointError, form
from dlcore.runs.reels import Frame


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


class Camera:
    """Takes the frames of a run's film. Small networks take an epoch in less than a millisecond: it walks through their
    modules but once.
    """

    def __init__(self, run: Run):
        self._state = run.model.state_dict(keep_vars=True)
        self._parameters = dict(run.model.named_parameters())
        self._before: list[Tensor] = []
        self._moved: Tensor | None = None

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return sum(value.nbytes for value in self._state.values())

    def before_step(self) -> None:
        """Keep what the next step, an epoch's last one, will change."""
        self._before = [parameter.detach().clone() for parameter in self._parameters.values()]

    def after_step(self) -> None:
        now = [parameter.detach() for parameter in self._parameters.values()]  # all at once, as optimizers take steps
        self._moved = torch.stack(torch._foreach_norm(torch._foreach_sub(now, self._before)))
        self._before = []

    def frame(self, epoch: int, step: int) -> Frame:
        """The network as it is, after an epoch and so many steps of the run."""
        moved = () if self._moved is None else self._moved.tolist()
        self._moved = None
        return Frame(epoch, step, _copy(self._state), dict(zip(self._parameters, moved, strict=False)))


def restore(run: Run, checkpoint: Checkpoint) -> tuple[RandomState, Place]:
    """Bring a run that was just built to where the checkpoint stands. Raises CheckpointError when it does not fit.

    Settings of the optimizer follow the run's recipe; another kind of optimizer starts with no memory of gradients, and
    another seed with random numbers of its own.
    """
    load_weights(run.model, checkpoint.model, run.recipe)
    if checkpoint.optimizer_kind == run.recipe.optimizer.kind:
        rates = [group["rate"] for group in run.optimizer.param_groups]
        try:
            run.optimizer.load_state_dict(_copy(checkpoint.optimizer))  # which would train on what it is given
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"its optimizer's memory does not fit this run ({error})") from error
        _lay_out(run.optimizer)
        run.recipe.optimizer.steer(run.optimizer)
        kept = checkpoint.optimizer["param_groups"]
        for group, rate, before in zip(run.optimizer.param_groups, rates, kept, strict=True):
            # What an epoch's end tells, should no step come before it.
            group.update(rate=rate, lr=before["lr"])
    states = checkpoint.random if checkpoint.seed == run.recipe.seed else None
    return RandomState(run.recipe.device, states), Place(checkpoint.epochs, checkpoint.place)


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay its memory out as the weights are, which differs from device to device: fused steps take that for granted."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def load_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], recipe: Recipe, assign: bool = False) -> None:
    """Copy weights into a network; with `assign` they become its own. Raises CheckpointError when they do not fit."""
    if form(weights) != form(model.state_dict()):
        raise CheckpointError(OTHER_NETWORK.format(recipe.model.kind))
    model.load_state_dict(weights, assign=assign)


def network(recipe: Recipe, checkpoint: Checkpoint) -> Run:
    """A run that can be asked, on the CPU and without any samples; any thread may build one. Raises CheckpointError."""
    if not all(_spreads(value, recipe.shape) for value in (checkpoint.mean, checkpoint.std)):
        raise CheckpointError(f"it was not normalised as {recipe.data.kind} is")
    none = Split(torch.empty(0), torch.empty(0))
    return with_weights(recipe, checkpoint.model, Dataset(none, none, none, mean=checkpoint.mean, std=checkpoint.std))


def with_weights(recipe: Recipe, weights: Mapping[str, Tensor], data: Dataset) -> Run:
    """A run that can be asked, on the CPU, whose network has these weights, and not copies of them; any thread may
    build one. Raises CheckpointError when they do not fit.
    """
    model = skeleton(recipe.model, recipe.inputs, recipe.outputs)
    load_weights(model, weights, recipe, assign=True)
    to_device(model, "cpu")
    return Run(
        recipe.model_copy(update={"device": "cpu"}), data, model, recipe.optimizer.build(recipe.model.groups(model))
    )


def _spreads(value: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of float32 broadcasts to a sample's shape."""
    sizes = zip(reversed(value.shape), reversed(shape), strict=False)
    fits = value.dim() <= len(shape) and all(size in (1, whole) for size, whole in sizes)
    return fits and value.dtype == torch.float32


def _copy(value: Any) -> Any:
    match value:
        case Tensor():
            return value.detach().to("cpu", copy=True)
        case dict():
            return {key: _copy(item) for key, item in value.items()}
        case list() | tuple():
            return [_copy(item) for item in value]
    return value
