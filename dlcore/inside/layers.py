"""Layers: how well each layer of a network learns, now and over a film.

What is measured is measured on the first training samples, in eval mode: always the same ones, so that two moments of
a run differ by its weights alone. It takes about as long as a few training steps.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlcore.catalogue.activations import Activation
from dlcore.catalogue.architectures import Architecture
from dlcore.catalogue.architectures import layers as layers_of
from dlcore.catalogue.layer_names import by_unit, is_norm, leading, names
from dlcore.catalogue.spec import Inputs
from dlcore.inside.frames import networks
from dlcore.later import nn, torch
from dlcore.runs.film import Frame
from dlcore.settings import choices

if TYPE_CHECKING:
    from dlcore.engine.training import Run

FEWEST, MOST = 64, 256  # samples that are passed through a network
WORK = 2 * 10**8  # multiplications of a pass that is not shortened any more
LARGEST_COPY = 2_000_000  # parameters of a network that is copied to see what a step changes
SATURATED = 0.97  # of the way from the middle of an activation's range to either end
SAME = 1e-6  # of its size: answers that differ by less are the same


@dataclass(frozen=True)
class Layer:
    """A layer with parameters, at one moment of a run. Norms are Euclidean, over all its parameters together."""

    name: str  # what a person calls it
    path: str  # of its module in the network
    output: tuple[int, ...]  # shape for one sample
    parameters: int
    weight_norm: float
    gradient_norm: float  # of the loss; 0 for what does not learn
    update_ratio: float | None  # norm of what a step changes, over `weight_norm`
    dead: (
        float | None
    )  # share of its units whose answer is the same for all samples; None for a norm, and with one sample alone
    dead_units: tuple[int, ...]  # which they are
    saturated: float | None  # share of its units near an end of their range, a mean over samples; None without one


class Moment(NamedTuple):
    """The layers after an epoch."""

    epoch: int
    layers: list[Layer]


class _Passed(NamedTuple):
    """A layer that data passed, and what its units said: behind their activation, where one follows."""

    module: nn.Module
    shape: tuple[int, ...]  # of its own output for one sample
    bend: nn.Module  # the activation, or the layer itself
    answers: torch.Tensor


def health(run: Run, moved: Mapping[str, float] | None = None) -> list[Layer]:
    """The layers with parameters, in the order in which data pass; to be asked with gradients.

    `moved`: by parameter, the norm of what a step changed in it, as a frame or `next_step` has it; without it no update
    ratio is known. A unit is a channel of a convolution, and one number elsewhere; it is dead when it says the same
    whatever it is shown, behind the activation that follows its layer. Sources of the measures: Glorot & Bengio 2010
    (gradients, saturation), and Karpathy's lectures (update ratio; saturation of tanh beyond 0.97,
    github.com/karpathy/nn-zero-to-hero, makemore part 3).
    """
    if not torch.is_grad_enabled():
        raise RuntimeError("A network is asked for the health of its layers with gradients.")
    run.model.eval()
    inputs, targets = run.data.train[: samples(run.recipe.model, run.recipe.inputs, run.recipe.outputs)]
    passed: dict[str, _Passed] = {}
    bends = _bends()

    def note(path, module, output):
        output = (output[0] if isinstance(output, tuple) else output).detach()
        if list(module.parameters(recurse=False)):
            passed.setdefault(path, _Passed(module, tuple(output.shape[1:]), module, output))
        elif isinstance(module, bends):
            layer = next((path for path in reversed(passed) if not is_norm(passed[path].module)), None)
            if layer and passed[layer].bend is passed[layer].module:  # the first one after a layer is its own
                passed[layer] = passed[layer]._replace(bend=module, answers=output)

    # Hooks, for a network may be made of modules in any way.
    hooks = [
        module.register_forward_hook(lambda module, _, output, path=path: note(path, module, output))
        for path, module in run.model.named_modules()
        if not list(module.children())
    ]
    try:
        with _recurrent_too(), run.precision():
            loss = run.recipe.loss.of(run.model(inputs), targets)
            gradients = _gradients(loss, dict(run.model.named_parameters()))
    finally:
        for hook in hooks:
            hook.remove()
    called = names([one.module for one in passed.values()])
    return [_layer(name, path, one, gradients, moved) for name, (path, one) in zip(called, passed.items(), strict=True)]


def over_time(run: Run, frames: Iterable[Frame]) -> list[Moment]:
    """`health` with the weights of each frame, and what its epoch's last step moved; a pass each (see `evenly`)."""
    return [Moment(frame.epoch, health(network, frame.moved)) for frame, network in networks(run, frames)]


def next_step(run: Run) -> dict[str, float] | None:
    """What the next step would change in each parameter, as a norm: it is taken by a copy of network and optimizer, on
    the first batch, dropout off. None for a network too large to be copied in passing.
    """
    if sum(parameter.numel() for parameter in run.model.parameters()) > LARGEST_COPY:
        return None
    model, optimizer = copy.deepcopy((run.model.eval(), run.optimizer))  # together, so that it steps the copy
    size = run.recipe.batch_size
    inputs, targets = run.data.train[: None if size == "all" else size]
    optimizer.zero_grad()
    with _recurrent_too(), run.precision():
        loss = run.recipe.loss.of(model(inputs), targets)
    if loss.requires_grad:
        loss.backward()
        optimizer.step()
    before = dict(run.model.named_parameters())
    with torch.no_grad():
        return {name: float((after - before[name]).norm()) for name, after in model.named_parameters()}


def incoming(run: Run, path: str) -> np.ndarray:
    """By unit, the norm of the weights that lead to it in the layer at a path; of a recurrent one those of its last
    layer, over all gates.
    """
    module = run.model.get_submodule(path)
    weights = [by_unit(module, value.detach()).flatten(1) for value in leading(module) if value.dim() > 1]
    return torch.cat(weights, 1).norm(dim=1).float().cpu().numpy()


@functools.lru_cache(64)
def samples(architecture: Architecture, inputs: Inputs, outputs: tuple[int, ...]) -> int:
    """How many samples a network is shown: fewer the more it has to calculate for each."""
    work = sum(layer.parameters * _places(layer.output) for layer in layers_of(architecture, inputs, outputs))
    return min(MOST, max(FEWEST, WORK // max(work, 1)))


def _places(output: tuple[int, ...]) -> int:
    """How often a layer's weights are used for a sample: at every pixel (C, H, W), or at every time (T, units)."""
    return math.prod(output[1:] if len(output) == 3 else output[:-1])


@functools.cache
def _bends() -> tuple[type[nn.Module], ...]:
    """The modules of all activations."""
    return tuple({type(choice().build()) for choice in choices(Activation).values()})


def _units(layer: _Passed) -> tuple[torch.Tensor, float | None]:
    """Which units (units,) said the same to all samples, and the share of answers near an end of their range."""
    channels = 1 if isinstance(layer.module, nn.modules.conv._ConvNd) else -1
    answers = layer.answers.float().movedim(channels, -1).flatten(0, -2)  # (samples x places, units)
    low, high = answers.aminmax(dim=0)
    same = high - low <= SAME * torch.maximum(low.abs(), high.abs())
    ends = {nn.Tanh: (-1, 1), nn.Sigmoid: (0, 1)}.get(type(layer.bend))
    if isinstance(layer.bend, nn.RNNBase) and getattr(layer.bend, "nonlinearity", "tanh") == "tanh":
        ends = (-1, 1)  # states leave it through tanh; of an LSTM and a GRU through gates, too
    if not ends:
        return same, None
    middle, half = sum(ends) / 2, (ends[1] - ends[0]) / 2
    return same, float(((answers - middle).abs() > SATURATED * half).float().mean())


def _gradients(loss: torch.Tensor, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """By parameter; those to which none flows are left out."""
    learning = {name: parameter for name, parameter in parameters.items() if parameter.requires_grad}
    if not (learning and loss.requires_grad):
        return {}
    found = torch.autograd.grad(loss, list(learning.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(learning, found, strict=True) if gradient is not None}


def _layer(
    name: str,
    path: str,
    layer: _Passed,
    gradients: Mapping[str, torch.Tensor],
    moved: Mapping[str, float] | None,
) -> Layer:
    own = {f"{path}.{name}": parameter.detach() for name, parameter in layer.module.named_parameters(recurse=False)}
    norm = _norm(own.values())
    change = math.hypot(*(moved[name] for name in own)) if moved and own.keys() <= moved.keys() else None
    dead = saturated = same = None
    if len(layer.answers) > 1 and not is_norm(layer.module):  # a norm's units are those of the layer before it
        same, saturated = _units(layer)
        dead = float(same.float().mean())
    return Layer(
        name,
        path,
        layer.shape,
        sum(parameter.numel() for parameter in own.values()),
        weight_norm=norm,
        gradient_norm=_norm(gradients[name] for name in own if name in gradients),
        update_ratio=change / norm if change is not None and norm else None,
        dead=dead,
        dead_units=() if same is None else tuple(same.nonzero().flatten().tolist()),
        saturated=saturated,
    )


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    return float(nn.utils.get_total_norm([tensor.float() for tensor in tensors]))


def _recurrent_too():
    """CUDA's own recurrent layers have no way back in eval mode; PyTorch's have."""
    return torch.backends.cudnn.flags(enabled=False)
