"""Splits: the parts of a data set. They are in memory, or, where pictures would fill it, left in their files.

Pictures are (N, C, H, W) float32, normalised by the training pictures' mean and deviation; all else is as it is:
features (N, F) and series (N, steps, channels) float32, tokens (N, length) int64. Targets are as `spec` says.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from dlcore.later import torch

RESIDENT = 2**30  # bytes: pictures that take more than this as float32 stay in their files
COUNTED = 4096  # pictures whose levels are counted at a time

Samples: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"  # inputs, as a network takes them, and targets


class DataError(RuntimeError):
    """Data that cannot be had; its text is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Split:
    """A part of a data set in memory; see the module for shapes."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, places: slice | torch.Tensor) -> Samples:
        """The samples at these places, on the data set's device; of a slice they are views."""
        if isinstance(places, slice):
            return self.inputs[places], self.targets[places]
        return self.inputs.index_select(0, places), self.targets.index_select(0, places)

    def blocks(self, places: Iterable[slice | torch.Tensor]) -> Iterator[Samples]:
        """The samples of one block after the other."""
        return map(self.__getitem__, places)

    def first(self, count: int) -> Split:
        return Split(self.inputs[:count], self.targets[:count])

    def to(self, device: str) -> Split:
        return Split(self.inputs.to(device), self.targets.to(device))


@dataclass(frozen=True, eq=False)
class FiledSplit:
    """A part of a data set whose pictures stay in their file; to be used as `Split` is.

    A picture is read and normalised when its batch is due, and the block after the one in use meanwhile, by a thread:
    processes of their own, as DataLoader's workers are, would each import what started them, a server's page included.
    """

    pictures: np.ndarray  # (all, C, H, W) uint8, as a rule a memory map; shared by the parts of a data set
    places: torch.Tensor  # (N,) int64: which of them are in this part
    targets: torch.Tensor  # (N,) of this part
    mean: torch.Tensor  # these two are on the data set's device, all else is not
    std: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, places: slice | torch.Tensor) -> Samples:
        device = self.mean.device
        pictures = _read(self.pictures, self.places[places]).to(device)
        return pictures.float().div_(255).sub_(self.mean).div_(self.std), self.targets[places].to(device)

    def blocks(self, places: Iterable[slice | torch.Tensor]) -> Iterator[Samples]:
        with ThreadPoolExecutor(1, "reading", torch.set_num_threads, (1,)) as reader:
            coming = None
            for block in places:
                current, coming = coming, reader.submit(self.__getitem__, block)
                if current:
                    yield current.result()
            if coming:
                yield coming.result()

    def first(self, count: int) -> FiledSplit:
        return replace(self, places=self.places[:count], targets=self.targets[:count])

    def to(self, device: str) -> FiledSplit:
        return replace(self, mean=self.mean.to(device), std=self.std.to(device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set. `mean` and `std` are what its raw inputs were normalised by, one a channel."""

    train: Split | FiledSplit
    validation: Split | FiledSplit
    test: Split | FiledSplit
    mean: torch.Tensor
    std: torch.Tensor

    def to(self, device: str) -> Dataset:
        splits = (split.to(device) for split in (self.train, self.validation, self.test))
        return Dataset(*splits, self.mean.to(device), self.std.to(device))


class Pictures(NamedTuple):
    """A part of a data set as it is published."""

    pictures: np.ndarray  # (all, C, H, W) uint8
    targets: torch.Tensor  # (all,) int64
    places: torch.Tensor  # (N,): which of them are in this part


def of_features(*splits: Split) -> Dataset:
    """Training, validation and test, as they are."""
    return Dataset(*splits, mean=torch.zeros(1), std=torch.ones(1))


def of_pictures(*parts: Pictures) -> Dataset:
    """Training, validation and test, normalised by the training pictures alone."""
    mean, std = _mean_and_std(parts[0])
    splits = [FiledSplit(part.pictures, part.places, part.targets[part.places], mean, std) for part in parts]
    if sum(len(split) for split in splits) * 4 * parts[0].pictures[0].size <= RESIDENT:
        splits = [Split(*split[:]) for split in splits]
    else:
        for part in parts:
            _expect_any_order(part.pictures)
    return Dataset(*splits, mean=mean, std=std)


def _expect_any_order(pictures: np.ndarray) -> None:
    """Pictures of a mapped file are no longer read one after the other: each without those around it, which the system
    would read along, and a batch would take fifty times as long.
    """
    source = _map_of(pictures)
    if source and hasattr(mmap, "MADV_RANDOM"):  # Windows has no such advice
        source.madvise(mmap.MADV_RANDOM)


def _map_of(pictures: np.ndarray) -> mmap.mmap | None:
    source = pictures
    while isinstance(source, np.ndarray):
        source = source.base
    return source if isinstance(source, mmap.mmap) else None


def _read(pictures: np.ndarray, places: torch.Tensor) -> torch.Tensor:
    """The pictures at these places (N, C, H, W). Raises DataError when their file has become shorter.

    The system ends a process that touches a map beyond the end of its file. A file that is cut within the moment
    between the look at its size and the last picture read is not noticed in time: reading each by a call of its own
    would be safe, and take three times as long.
    """
    source = _map_of(pictures)
    if source and source.size() < len(source):
        raise DataError(
            f"{pictures.filename} has become shorter while it was read; put it back whole, and start again."
        )
    return torch.from_numpy(np.take(pictures, places.numpy(), axis=0))


def _mean_and_std(part: Pictures) -> Sequence[torch.Tensor]:
    """Of each channel, over 0..1; (C, 1, 1). Counted by level: exact, and in little memory."""
    counts = torch.zeros(part.pictures.shape[1], 256, dtype=torch.float64)
    for places in part.places.sort().values.split(COUNTED):  # sorted: a file is read from its beginning to its end
        channels = _read(part.pictures, places).transpose(0, 1).flatten(1)
        counts += torch.stack([channel.bincount(minlength=256) for channel in channels])
    levels, number = torch.arange(256, dtype=torch.float64) / 255, counts[0].sum()
    mean = (counts @ levels / number).view(-1, 1)
    variance = (counts * (levels - mean) ** 2).sum(1, keepdim=True) / (number - 1)
    std = variance.sqrt().clamp(min=1e-6)
    return [value.float().unsqueeze(2) for value in (mean, std)]
