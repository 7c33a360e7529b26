"""Samples of a data set, to be looked at: some of each class, as the pictures that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dlcore.later import torch

if TYPE_CHECKING:
    from dlcore.catalogue.splits import Dataset


def of_each_class(targets: np.ndarray, count: int) -> np.ndarray:
    """The places of `count` samples (fewer where there are no more), class after class, over and over: the first of
    each, then the second of each, and so on.
    """
    order = np.argsort(targets, kind="stable")
    _, starts, sizes = np.unique(targets[order], return_index=True, return_counts=True)
    turn = np.arange(len(targets)) - np.repeat(starts, sizes)  # how many of its class stand before it
    return order[np.lexsort((targets[order], turn))][:count]


def validation_pictures(data: Dataset, places: np.ndarray) -> np.ndarray:
    """Pictures of the validation split as they were before they were normalised: (N, H, W, C) uint8."""
    pictures, _ = data.validation[torch.from_numpy(places)]
    raw = (pictures * data.std + data.mean).clamp(0, 1)
    return (raw * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
