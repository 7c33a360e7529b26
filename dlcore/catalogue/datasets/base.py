"""What every data set has: facts that are known before it is loaded, and loading itself, once for all who want it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from dlcore.catalogue.spec import Inputs, Spec, Targets
from dlcore.catalogue.splits import Dataset
from dlcore.later import torch
from dlcore.settings import Settings

Report = Callable[[float], None]  # hears how much of a download is done, 0..1


class Data(Settings):
    """A data set: its facts are known before it is loaded."""

    inputs: ClassVar[Inputs]
    targets: ClassVar[Targets]

    def spec(self) -> Spec:
        """What a sample is."""
        return Spec(self.inputs, self.targets)

    @property
    def train_size(self) -> int | None:
        """How many samples are trained on, where that is known before loading."""
        return None

    def load(self, report: Report) -> Dataset:
        """The set, on the CPU. Raises DataError when it cannot be had."""
        raise NotImplementedError

    def at_hand(self) -> bool:
        """Whether it can be loaded without a download."""
        return True


_loaded: OrderedDict[tuple, Dataset] = OrderedDict()
_keeping = threading.Lock()
_reading: dict[str, threading.Lock] = {}  # by kind: a long download holds up nobody who wants another set
KEPT = 4  # data sets in memory at once, so that runs share them


def load(data: Data, device: str = "cpu", report: Report = lambda share: None) -> Dataset:
    """A data set on a device, read once and then shared. Raises DataError with a sentence."""
    key = (data, device, data_root())
    with _reading.setdefault(data.kind, threading.Lock()):
        found = _loaded.get(key) or data.load(report).to(device)
        with _keeping:
            _loaded[key] = found
            _loaded.move_to_end(key)
            while len(_loaded) > KEPT:
                _loaded.popitem(last=False)
        return found


def data_root() -> Path:
    """Where downloads are kept: `data/` below the working directory, unless DLCORE_DATA says otherwise."""
    return Path(os.environ.get("DLCORE_DATA") or "data")


class Sampled(Data):
    """A set whose samples a seed deals out."""

    split_seed: int = Field(
        0,
        ge=0,
        le=2**31,
        title="Split seed",
        description="Which samples are for training, validation and test; another number, another draw.",
    )


def stratified(targets: torch.Tensor, seed: int, held: tuple[int, int]) -> list[torch.Tensor]:
    """Places for training, validation and test, every class with its share; `held` are the sizes of the last two."""
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(np.arange(len(targets)), test_size=held[1], stratify=targets, random_state=seed)
    train, validation = train_test_split(rest, test_size=held[0], stratify=targets[rest], random_state=seed)
    return [torch.from_numpy(part) for part in (train, validation, test)]
