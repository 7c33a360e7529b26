"""Formats: files of strangers, fetched, checked, and read without trusting them."""

from __future__ import annotations

import importlib
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.catalogue.datasets.base import Report
from dlcore.catalogue.splits import DataError
from dlcore.later import torch


def idx(file: Path, dimensions: int) -> np.ndarray:
    """A file of MNIST's format (a magic number, the sizes, the bytes), mapped into memory: read when it is used."""
    return np.memmap(file, np.uint8, "r", offset=4 * (1 + dimensions), shape=tuple(sizes(file, dimensions)))


def sizes(file: Path, dimensions: int) -> list[int]:
    head = np.fromfile(file, ">i4", 1 + dimensions).tolist()
    if len(head) <= dimensions or head[0] != 0x800 + dimensions:
        raise ValueError(f"{file.name} is not of MNIST's format")
    return head[1:]


def torchvision_sets() -> dict[str, Any]:
    """torchvision's data sets by name; imported only when one is used."""
    return vars(import_torchvision("datasets"))


_importing = threading.Lock()  # its modules import each other: of two threads, one would find a half of it


def import_torchvision(module: str) -> Any:
    """A module of torchvision. Raises DataError when torch and torchvision do not fit together."""
    try:
        with _importing:
            return importlib.import_module(f"torchvision.{module}")
    except (ImportError, RuntimeError) as error:  # a CPU-only torch beside the registry's torchvision: RuntimeError
        text = (
            f"torchvision cannot be loaded ({error}). It must come from the same place as torch: reinstall both with "
            "`pip install --force-reinstall torch torchvision`."
        )
        raise DataError(text) from error


class Progress:
    """What pooch's downloader wants of a progress bar; one file of several."""

    def __init__(self, report: Report, number: int, files: int):
        self.total = 0
        self._report, self._number, self._files, self._done = report, number, files, 0

    def update(self, size: int) -> None:
        self._done += size
        self._report((self._number + min(1.0, self._done / max(self.total, 1))) / self._files)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def retrieve(urls: list[str], md5: str, file: Path, processor: Any, progress: Progress) -> None:
    """Fetch a file from the first of several addresses that has it, check it against its md5, and unpack it."""
    import pooch

    for number, url in enumerate(urls, 1):
        try:
            pooch.get_logger().setLevel("ERROR")  # progress is shown, and failure said, by us
            downloader = pooch.HTTPDownloader(progressbar=progress, timeout=20)
            pooch.retrieve(url, f"md5:{md5}", file.name, file.parent, processor=processor, downloader=downloader)
            return
        except (OSError, ValueError):  # no connection, or a mirror with another file
            if number == len(urls):
                raise


class _ArraysOnly(pickle.Unpickler):
    """Reads CIFAR-10's pickles without trusting them: nothing but NumPy arrays can be made."""

    ALLOWED = {
        (f"numpy.{core}.{name[0]}", name[1])
        for core in ("core", "_core")
        for name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
    } | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}

    def find_class(self, module, name):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no picture needs")
        return super().find_class(module, name)


def cifar_batch(file: Path) -> tuple[np.ndarray, torch.Tensor]:
    with file.open("rb") as stream:
        batch = _ArraysOnly(stream, encoding="latin1").load()
    batch = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
    pictures = np.array(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
    return pictures, torch.tensor(batch["labels"], dtype=torch.int64)
