"""Randomness: everything random in a run follows from its seed, whatever else the process does.

What a run draws outside the default generators (the order of batches) comes from a generator made on the spot from
the seed and a name; what PyTorch draws from the default generators (dropout, augmentation) is made the run's own by
swapping their states (`RandomState`).
"""

import hashlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def derive(seed: int, *names: object) -> int:
    """A seed of 63 bits for one purpose, far from that of any other purpose or seed."""
    digest = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *names: object) -> torch.Generator:
    return torch.Generator().manual_seed(derive(seed, *names))


class Drawing(TorchDispatchMode):
    """Within it, what this thread draws from default generators comes from another one: those stay as they are.

    PyTorch's layers draw their weights so, and cannot be told from where.
    """

    def __init__(self, source: torch.Generator):
        super().__init__()
        self._source = source

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in function.tags:
            if not any(argument.name == "generator" for argument in function._schema.arguments):
                raise RuntimeError(f"{function} draws from a default generator and from no other.")
            given["generator"] = given.get("generator") or self._source
        return function(*args, **given)


class RandomState:
    """The states of the default generators that a run on `device` draws from: those of now, or those given."""

    def __init__(self, device: str, states: dict[str, torch.Tensor] | None = None):
        self._device = device
        self.save()
        self.states |= states or {}  # by device

    def save(self) -> None:
        self.states = {"cpu": torch.get_rng_state()}
        if self._device == "cuda":
            self.states["cuda"] = torch.cuda.get_rng_state()
        elif self._device == "mps":
            self.states["mps"] = torch.mps.get_rng_state()

    def restore(self) -> None:
        torch.set_rng_state(self.states["cpu"])
        if self._device == "cuda":
            torch.cuda.set_rng_state(self.states["cuda"])
        elif self._device == "mps":
            torch.mps.set_rng_state(self.states["mps"])
