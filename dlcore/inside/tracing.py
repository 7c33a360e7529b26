"""Tracing: what passes through a network, layer by layer, whatever it is made of.

A layer begins at a module with a matrix of weights; activation, normalisation, dropout and pooling after it belong to
it. Modules are told by what they do, not by which architecture built them, so that every network can be traced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dlcore.later import nn, torch

if TYPE_CHECKING:
    from dlcore.engine.training import Run

TITLES = {"Linear": "Dense", "Conv1d": "Convolution", "Conv2d": "Convolution", "MultiheadAttention": "Attention"}
SILENT = ("Dropout", "Identity", "Flatten")  # what changes nothing, or only the form


@dataclass
class Traced:
    """A layer, and what passed through it; the first axis of each tensor is that of the batch."""

    name: str  # of the module with the weights, as in the network's state dict
    module: nn.Module
    given: torch.Tensor  # what that module took
    shown: torch.Tensor  # what the layer answers: after its activation, before pooling makes it smaller
    handed: torch.Tensor  # what it hands on: after all that belongs to it
    then: list[str] = field(default_factory=list)  # what belongs to it after the weights, in words

    @property
    def title(self) -> str:
        kind = type(self.module).__name__
        return TITLES.get(kind, kind)


def trace(run: Run, inputs: torch.Tensor) -> tuple[list[Traced], torch.Tensor]:
    """The layers that a batch (N, *shape), normalised, passes through, in that order, and the network's outputs (N,
    K). Its hooks are gone afterwards, whatever happens.
    """
    layers: list[Traced] = []
    entered: list[int] = []  # how many modules had passed when each of those under way began
    passed = 0

    def begin(module, given) -> None:
        entered.append(passed)

    def end(module, given, answer) -> None:
        nonlocal passed
        inner = passed > entered.pop()
        answer = answer[0] if isinstance(answer, tuple) else answer
        if inner or not given or not isinstance(answer, torch.Tensor):
            return  # it is made of modules that were seen themselves
        passed += 1
        if any(parameter.dim() > 1 for parameter in module.parameters()):
            layers.append(Traced(names[module], module, given[0], answer, answer))
        elif layers:
            _follow(layers[-1], module, given[0], answer)

    names = {module: name for name, module in run.model.named_modules()}
    run.model.eval()
    hooks = []
    try:
        for module in names:
            hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
        with torch.inference_mode(), run.precision():
            outputs = run.model(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return layers, outputs.float()


def _follow(layer: Traced, module: nn.Module, given: torch.Tensor, answer: torch.Tensor) -> None:
    kind = type(module).__name__
    if not kind.startswith("Flatten"):
        layer.handed = answer
    if kind.startswith(SILENT):
        return
    if answer.shape == given.shape:
        layer.shown = answer
        layer.then.append("normalised" if "Norm" in kind else kind)
    elif "Pool" in kind:
        layer.then.append("pooling")
