"""Film: the weights that a run had after its epochs, so that whoever looks can go back to any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dlcore.later import torch


class Frame(NamedTuple):
    """A network as it was after an epoch, on the CPU."""

    epoch: int
    step: int  # of the run
    weights: Mapping[str, torch.Tensor]  # its state dict
    moved: Mapping[str, float]  # by parameter: the norm of what the epoch's last step changed in it
