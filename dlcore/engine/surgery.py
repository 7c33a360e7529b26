"""Surgery: a layer or a unit of a network in training is silenced, frozen or shaken, between two steps.

What a network does not need, it does well without (Morcos et al. 2018, https://arxiv.org/abs/1803.06959).
"""

import torch
from torch import nn

from dlcore.catalogue.layer_names import by_unit, leading
from dlcore.engine.randomness import generator
from dlcore.engine.training import Run
from dlcore.history import Change
from dlcore.runs.operations import parts_within, read

MOMENTUM = ("momentum_buffer", "exp_avg")  # what optimizers call the running mean of a gradient


def operate(run: Run, change: Change) -> None:
    """Do what a change of the history says; the same change does the same, on any device and in any process."""
    operation = read(change.setting)
    module = parts_within(run.model)[operation.layer].module
    match operation.kind:
        case "silence":
            silence(run.optimizer, module, operation.unit - 1)
        case "freeze":
            freeze(module, change.value)
            run.recipe.optimizer.steer(run.optimizer)  # so that its memory is whole when the layer learns again
        case "noise":
            shake(module, change.value, generator(run.recipe.seed, "noise", operation.layer, change.step))


@torch.no_grad()
def silence(optimizer: torch.optim.Optimizer, module: nn.Module, unit: int) -> None:
    """Make one unit, counted from 0, answer 0 (its activation's value there) to everything: what leads to it becomes 0,
    and so does what the optimizer remembers of the way it was going.

    It is free to learn again. Behind a ReLU it cannot: there is no gradient where that answers 0.
    """
    for parameter in leading(module):
        memory = optimizer.state.get(parameter, {})
        for value in (parameter, *(memory.get(name) for name in MOMENTUM)):
            if value is not None:
                by_unit(module, value)[unit] = 0


def freeze(module: nn.Module, still: bool) -> None:
    """Let a layer learn no more, or again: without a gradient, no optimizer moves it. Running means of a norm go on."""
    for parameter in module.parameters(recurse=False):
        parameter.requires_grad_(not still)
        if still:
            parameter.grad = None


@torch.no_grad()
def shake(module: nn.Module, amount: float, source: torch.Generator) -> None:
    """Add normal noise to a layer's weights, `amount` times their own deviation; what is one number a unit stays."""
    for parameter in module.parameters(recurse=False):
        if parameter.dim() > 1:
            noise = torch.randn(parameter.shape, generator=source) * (amount * float(parameter.std(correction=0)))
            parameter.add_(noise.to(parameter))


def freeze_again(run: Run, layers: list[str]) -> None:
    """What was frozen when a run was left."""
    known = parts_within(run.model) if layers else {}
    for layer in layers:
        freeze(known[layer].module, True)
