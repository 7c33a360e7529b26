"""Memory: about how much of it a run takes, told before it begins.

What a network leaves for the way back is found by passing samples without values through a network without weights.
That imports PyTorch's compiler, which takes seconds: it is done only where a bound leaves doubt whether there is room.
Estimates are rather too low than too high, so that nothing is refused that would fit.
"""

from __future__ import annotations

import bisect
import functools
import math
from dataclasses import dataclass, replace

from dlcore.catalogue import devices
from dlcore.catalogue.architectures import Architecture, blank, skeleton
from dlcore.catalogue.spec import Inputs, Series, Tokens
from dlcore.catalogue.splits import RESIDENT
from dlcore.later import nn, torch
from dlcore.settings import Problem

EVALUATION_BATCH = 256  # samples between two yields while evaluating: about as long as a training step of 64
BLOCK = 8  # batches gathered at a time: few calls for small ones, while large ones stay in the processor's cache
COPIES = 2  # checkpoints at a time, as a rule: the best, and the latest on its way to the disk
LARGE = 0.5  # share of what there is, beyond which other programs may leave too little


@dataclass(frozen=True)
class Plan:
    """What of a recipe decides how much memory it takes. It can be built: all else is checked before."""

    model: Architecture
    inputs: Inputs
    outputs: tuple[int, ...]
    kept: int  # numbers that the optimizer keeps for each weight
    samples: int
    batch: int  # samples in a step
    device: str


def needed(plan: Plan) -> int:
    """Bytes that a run takes, about."""
    return sum(_parts(plan))


def fits(plan: Plan, share: float = 1.0) -> bool:
    """Whether a run takes at most a share of its device's memory."""
    room = share * _there(plan)
    return sum(_parts(plan, closely=False)) <= room or needed(plan) <= room


def problem(plan: Plan) -> Problem:
    """What to say of a plan that does not fit, and what would."""
    there = _there(plan)
    place = "this machine" if plan.device == "cpu" else f"the {devices.TITLES[plan.device]}"
    had = f"a run takes about {_gigabytes(needed(plan))} of memory, but {place} has {_gigabytes(there)}"
    if nearest := bisect.bisect(range(1, plan.batch), there, key=lambda size: needed(replace(plan, batch=size))):
        told = f"batch_size makes steps of {plan.batch:,} samples, with which {had}; the nearest is {nearest}."
        return Problem("batch_size", told)
    network, weights = _parts(plan)[0], _looked_at(plan.model, plan.inputs, plan.outputs, True)[0]
    fix = f"at most about {float(f'{there / network * weights:.2g}'):,.0f} fit"
    fix = fix if network > there else "make its layers smaller"
    return Problem("model", f"model is {plan.model.kind} with {weights:,} weights, with which {had}; {fix}.")


def warning(plan: Plan) -> Problem:
    """What to say of a plan that takes a large part of what there is."""
    network, _, batch = _parts(plan)
    setting, fix = ("batch_size", "a smaller batch_size") if batch > network else ("model", "smaller layers")
    told = f"This run takes about {_gigabytes(needed(plan))} of the {_gigabytes(_there(plan))} of memory that there are"
    return Problem(setting, f"{told}, which may be too much beside other programs; with {fix} it takes less.")


def _there(plan: Plan) -> float:
    return devices.memory(plan.device) or math.inf


def _parts(plan: Plan, closely: bool = True) -> tuple[int, int, int]:
    """Bytes for the network with all that learning and keeping it takes, for the data, and for a batch."""
    weights, left, largest = _looked_at(plan.model, plan.inputs, plan.outputs, closely)
    copies = COPIES * (1 + plan.kept) if plan.device == "cpu" else 0  # they are in the processor's memory
    sample = math.prod(plan.inputs.shape)
    whole = plan.samples * sample * 4
    gathered = sample * (plan.samples if plan.batch == plan.samples else 2 * 4 * min(plan.samples, BLOCK * plan.batch))
    step = (left + 2 * largest) * plan.batch + gathered
    evaluation = 2 * largest * EVALUATION_BATCH
    return weights * 4 * (2 + plan.kept + copies), whole if whole <= RESIDENT else 0, max(step, evaluation)


@functools.lru_cache(64)
def _looked_at(model: Architecture, inputs: Inputs, outputs: tuple[int, ...], closely: bool) -> tuple[int, int, int]:
    """How many weights a network has, the bytes that a sample leaves in it for the way back, and the largest piece of
    these; closely, or with a bound for the latter two.
    """
    network = skeleton(model, inputs, outputs)
    weights = sum(parameter.numel() for parameter in network.parameters())
    return weights, *(_passing(network, inputs) if closely else _at_most(network, inputs))


def _passing(network: nn.Module, inputs: Inputs) -> tuple[int, int]:
    """What samples leave behind, from one batch without values."""
    own = {value.untyped_storage()._cdata for value in network.state_dict().values()}
    found: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        memory = value.untyped_storage()
        if memory._cdata not in own:
            found[memory._cdata] = memory.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        _ = network.train()(blank(inputs, EVALUATION_BATCH))
    return sum(found.values()) // EVALUATION_BATCH, max(found.values()) // EVALUATION_BATCH


def _at_most(network: nn.Module, inputs: Inputs) -> tuple[int, int]:
    """What is never less, by the sizes of the layers alone: as if no picture became smaller on its way."""
    sequence, sample = isinstance(inputs, Series | Tokens), blank(inputs, 1).nbytes
    places = inputs.shape[0] if sequence else math.prod(inputs.shape[1:])
    outputs = []
    for module in network.modules():
        times = 1 if isinstance(module, nn.Linear) and not sequence else places
        side = 1 if isinstance(module, nn.Embedding) else 0  # of its weight, that which it gives
        outputs += [weight.shape[side] * times for weight in module.parameters(recurse=False) if weight.dim() > 1]
    return 16 * sum(outputs) + 4 * sample, max([*(4 * count for count in outputs), sample])


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
