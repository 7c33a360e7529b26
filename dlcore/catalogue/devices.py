"""Devices: what this machine can train on, and how much memory there is."""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path

from dlcore.later import torch

TITLES = {"cpu": "CPU", "cuda": "NVIDIA GPU (CUDA)", "mps": "Apple GPU (MPS)"}


@functools.cache
def available() -> tuple[str, ...]:
    """The devices of this machine, best known first: the CPU is always there."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return tuple(found)


@functools.cache
def memory(device: str) -> int | None:
    """Bytes of memory that a device has for this process; None where the system does not say (on Windows)."""
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory
    if not hasattr(os, "sysconf"):
        return None
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


def _limits(groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What this process may use by the control groups that it is in, as containers set them; Linux only."""
    found = []
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, names, place = line.split(":", 2)
        if names in ("", "memory"):  # version 2 and version 1
            root, file = mounted / names, "memory.limit_in_bytes" if names else "memory.max"
            inner = root / place.lstrip("/")
            for folder in [inner, *inner.parents][: len(inner.parts) - len(root.parts) + 1]:
                with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
                    found.append(int((folder / file).read_text()))
    return found
