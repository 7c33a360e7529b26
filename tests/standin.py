"""A stand-in for an accelerator: a device of PyTorch's own kind, whose memory is apart and whose operations can fail.

Its tensors are no CPU tensors: what forgets to bring a number back fails here as on a GPU. Its arithmetic is the CPU's,
its random numbers come from a generator of its own, and a backward pass runs on a thread of its own. To recipes it is
"cuda", so that all that the project does for a GPU is done. What has no kernel here (convolutions) cannot be used.

To be imported before anything is derived in the process: PyTorch asks only once which devices there are.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from dlcore.catalogue import devices
from dlcore.catalogue.datasets import base
from dlcore.catalogue.splits import Dataset
from dlcore.engine import training

NAME = "standin"
RECIPES_SAY = "cuda"

Condition = Callable[[str, tuple], bool]  # of an operation's name, without "aten::", and its arguments


class StandIn:
    """The device: its generator, and what is wrong with it. Also what `torch.standin` is."""

    def __init__(self):
        self.random = torch.Generator()
        self.repair()

    def repair(self) -> None:
        self._when: Condition = lambda name, arguments: False
        self._error: Exception | None = None
        self._lasting = self._broken = False

    def fail(self, error: Exception, when: Condition, lasting: bool) -> None:
        """Fail at the first operation of this kind; if it is `lasting`, at every one after it, as a GPU does whose
        memory was accessed illegally.
        """
        self._error, self._when, self._lasting = error, when, lasting

    def check(self, name: str, arguments: tuple) -> None:
        if self._broken:
            raise type(self._error)(*self._error.args)
        if self._when(name, arguments):
            error, self._broken = self._error, self._lasting
            if not self._lasting:
                self.repair()
            raise error

    # What PyTorch expects of a device's module

    def synchronize(self) -> None:
        self.check("synchronize", ())

    def get_rng_state(self) -> torch.Tensor:
        return self.random.get_state()

    def set_rng_state(self, state: torch.Tensor) -> None:
        self.random.set_state(state)

    def manual_seed_all(self, seed: int) -> None:
        self.random.manual_seed(seed)

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False


def is_there(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == NAME


def _onto(value: torch.Tensor) -> torch.Tensor:
    """A tensor of the device that stands for one of the CPU. PyTorch copies tensors' heads, but not their storages.

    Its numbers lie one after the other, as its strides say: what transposes makes a copy, into which nobody writes.
    """
    tensor = torch._C._acc.create_empty_tensor(value.shape, value.dtype)
    tensor.untyped_storage().held = value.contiguous()
    return tensor


def _behind(value: Any) -> Any:
    return value.untyped_storage().held if is_there(value) else value


def _run(operation: torch._ops.OpOverload, *arguments: Any, **options: Any) -> Any:
    """An operation of the device: the CPU's, on what its tensors stand for."""
    name, given = operation._schema.name.removeprefix("aten::"), pytree.tree_leaves((arguments, options))
    DEVICE.check(name, arguments)
    if name == "_copy_from":
        source, target = arguments[:2]
        _behind(target).copy_(_behind(source))
        return target
    if options.get("device") is not None:
        options["device"] = "cpu"
    own = torch.Tag.nondeterministic_seeded in operation.tags
    if own:
        others = torch.get_rng_state()
        torch.set_rng_state(DEVICE.random.get_state())
    try:
        results = operation(*pytree.tree_map(_behind, arguments), **pytree.tree_map(_behind, options))
    finally:
        if own:
            DEVICE.random.set_state(torch.get_rng_state())
            torch.set_rng_state(others)
    changed = {id(_behind(value)): value for value in given if is_there(value)}  # in place, or as `out`
    here = lambda value: changed[id(value)] if id(value) in changed else _onto(value)  # noqa: E731
    return pytree.tree_map_only(torch.Tensor, here, results)


def _view(operation: torch._ops.OpOverload, whole: torch.Tensor, *arguments: Any, **options: Any) -> Any:
    """A view is an inference tensor if what it is a view of is one, in whatever mode it is made."""
    with torch.inference_mode(whole.is_inference()):
        return _run(operation, whole, *arguments, **options)


def _is_view(operation: torch._ops.OpOverload) -> bool:
    return any(one.alias_info and not one.alias_info.is_write for one in operation._schema.arguments)


def _register() -> list[torch.library.Library]:
    """Make the device known to PyTorch for as long as the process lives."""
    _setup_privateuseone_for_python_backend(NAME, DEVICE)
    rest, views = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    rest.fallback(_run, "PrivateUse1")
    for full in torch._C._dispatch_get_registrations_for_dispatch_key("CompositeExplicitAutograd"):
        name, _, overload = full.removeprefix("aten::").partition(".")
        operation = getattr(getattr(torch.ops.aten, name, None), overload or "default", None)
        # Views have a kernel for every device, which cannot know what stands behind; two of them see all there is.
        if full.startswith("aten::") and operation and _is_view(operation) and name not in ("detach", "alias"):
            views.impl(full.removeprefix("aten::"), functools.partial(_view, operation), "PrivateUse1")
    return [rest, views]  # who drops them drops what was registered


DEVICE = StandIn()
LIBRARIES = _register()


def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """What a recipe calls "cuda" is the stand-in from here on."""
    DEVICE.repair()
    name_of = lambda device: NAME if device == RECIPES_SAY else device  # noqa: E731
    for module, moves in ((Dataset, "to"), (training, "to_device")):
        move = getattr(module, moves)
        monkeypatch.setattr(module, moves, lambda what, device, move=move: move(what, name_of(device)))
    monkeypatch.setattr(base, "_loaded", OrderedDict())
    monkeypatch.setattr(devices, "available", lambda: ("cpu", RECIPES_SAY))
    monkeypatch.setattr(devices, "memory", lambda device: 2**40)
    for name in ("synchronize", "get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, getattr(DEVICE, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a stand-in")
    return DEVICE
