"""Layers that learn: what a person calls them, and what leads to each of their units, whatever the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dlcore.later import nn, torch

RECURRENT = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}  # a person's words by PyTorch's


def learning(network: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """The modules with parameters of their own and their paths in the network, by name, first to last."""
    found = [(path, module) for path, module in network.named_modules() if list(module.parameters(recurse=False))]
    return dict(zip(names([module for _, module in found]), found, strict=True))


def names(modules: Sequence[nn.Module]) -> list[str]:
    """`conv 1`, `conv 2`, `dense`, `output`: numbered where there are several of a kind."""
    last = max((place for place, module in enumerate(modules) if not is_norm(module)), default=-1)
    words = ["output" if place == last else _word(module) for place, module in enumerate(modules)]
    whole, so_far = Counter(words), Counter()
    found = []
    for word in words:
        so_far[word] += 1
        found.append(f"{word} {so_far[word]}" if whole[word] > 1 else word)
    return found


def leading(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that lead to a layer's units; of a recurrent layer of several, to those of the last."""
    if not isinstance(module, nn.RNNBase):
        return list(module.parameters(recurse=False))
    return [value for name, value in module.named_parameters() if name.endswith(f"_l{module.num_layers - 1}")]


def by_unit(module: nn.Module, value: torch.Tensor) -> torch.Tensor:
    """One of `leading`, or what has its shape, as a view whose first axis is the unit: recurrent layers have a row for
    each of its gates.
    """
    gated = isinstance(module, nn.RNNBase)
    return value.unflatten(0, (-1, module.hidden_size)).movedim(1, 0) if gated else value


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)


def _word(module: nn.Module) -> str:
    if isinstance(module, nn.modules.conv._ConvNd):
        return "conv"
    kind = type(module).__name__
    return "dense" if isinstance(module, nn.Linear) else "norm" if is_norm(module) else RECURRENT.get(kind, kind)
