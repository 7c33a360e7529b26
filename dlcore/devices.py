"""Devices: what this machine can train on."""

import functools

import torch

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
