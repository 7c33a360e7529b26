"""Layer names: what a person calls the layers of a network that learn, whatever it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dlcore.later import nn

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


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm)


def _word(module: nn.Module) -> str:
    if isinstance(module, nn.modules.conv._ConvNd):
        return "conv"
    kind = type(module).__name__
    return "dense" if isinstance(module, nn.Linear) else "norm" if is_norm(module) else RECURRENT.get(kind, kind)
