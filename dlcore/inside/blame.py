"""Blame: the training samples that pulled a network to a mistake, or away from it.

TracIn (Pruthi et al. 2020, arXiv:2002.08484): a step on one sample changes the loss of another by about the learning
rate times the product of their gradients; the sum of that over the frames of a film is what the one did to the other.
Only the last layer's gradients are looked at, and they need no backward pass through the network: an output's gradient
(p − y for cross-entropy) times what goes into the layer. So all products together are two matrix products a frame.

An estimate: steps are taken to be plain gradient descent, also where an optimizer scales them, and frames few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dlcore.history import History
from dlcore.inside.errors import LookError
from dlcore.later import nn, torch
from dlcore.memory import EVALUATION_BATCH
from dlcore.runs.film import Frame

if TYPE_CHECKING:
    from dlcore.catalogue.splits import FiledSplit, Samples, Split
    from dlcore.engine.training import Run

SAMPLES = 5000  # of the training split that are looked at
FRAMES = 6  # of the film


@dataclass(frozen=True)
class Blame:
    """What training samples did to the answer to a validation sample.

    An influence above 0 lowered the loss of the right answer, by about so much a pass over the samples (proponents);
    below 0 it raised it (opponents): these pulled it to its mistake.
    """

    index: int  # in the validation split
    influence: np.ndarray  # (N,) float32, of the first N training samples
    proponents: np.ndarray  # their places in the training split, the strongest first
    opponents: np.ndarray
    frames: int  # that were looked at


def chosen(epochs: Sequence[int]) -> list[int]:
    """Those of a film's epochs whose frames are affordable, evenly, the last one among them. Raises LookError."""
    if not len(epochs):
        raise LookError("Of this run no frames are kept, by which training samples could be blamed.")
    places = np.linspace(len(epochs) - 1, 0, min(FRAMES, len(epochs))).round().astype(int)
    return [epochs[int(place)] for place in reversed(places)]


def blame(run: Run, frames: Sequence[Frame], history: History, index: int, count: int = 8) -> Blame:
    """For the validation sample at `index`, of a run with these frames (see `chosen`) and this history, `count` samples
    either way at most. To be asked with gradients of a network that does not train: it takes as many passes over
    SAMPLES samples as there are frames. Raises LookError.
    """
    if not 0 <= index < len(run.data.validation):
        raise LookError(f"There is no validation sample {index}; they go from 0 to {len(run.data.validation) - 1}.")
    influence = torch.zeros(())
    for frame in frames:
        one_in, one_out = _last_layer(run, frame, iter([run.data.validation[index : index + 1]]))
        inside, outside = _last_layer(run, frame, _batches(run.data.train))
        influence = influence + ((outside @ one_out[0]) * (inside @ one_in[0])).cpu() * rate(run, history, frame)
    found = influence.numpy()
    order = np.argsort(found, kind="stable")
    opponents, proponents = order[:count], order[::-1][:count]
    return Blame(index, found, proponents[found[proponents] > 0], opponents[found[opponents] < 0], len(frames))


def self_influence(run: Run, frames: Sequence[Frame], history: History) -> np.ndarray:
    """What each of the first SAMPLES training samples did to its own loss, (N,) float32; asked as `blame` is.

    High where a sample stands against all others, as one with a wrong label does (Pruthi et al. 2020, section 4.1).
    """
    influence = torch.zeros(())
    for frame in frames:
        inside, outside = _last_layer(run, frame, _batches(run.data.train))
        squares = inside.square().sum(1) * outside.square().sum(1)
        influence = influence + squares.cpu() * rate(run, history, frame)
    return influence.numpy()


def rate(run: Run, history: History, frame: Frame) -> float:
    """The learning rate at a frame: the one that was measured, or else what the schedule has there."""
    epochs = history.columns["epoch"].values
    place = int(np.searchsorted(epochs, frame.epoch))
    if place < len(epochs) and epochs[place] == frame.epoch:
        return float(history.columns["lr"].values[place])
    recipe, per_epoch = run.recipe, run.steps_per_epoch
    return recipe.optimizer.lr * recipe.schedule.factor(max(frame.step - 1, 0), recipe.epochs * per_epoch, per_epoch)


def _batches(split: Split | FiledSplit) -> Iterator[Samples]:
    count = min(SAMPLES, len(split))
    slices = [slice(start, min(start + EVALUATION_BATCH, count)) for start in range(0, count, EVALUATION_BATCH)]
    return split.blocks(slices)


def _last_layer(run: Run, frame: Frame, batches: Iterator[Samples]) -> tuple[torch.Tensor, torch.Tensor]:
    """With a frame's weights, for each sample: what goes into the last layer (N, units), with a one for its bias, and
    the gradient of the sample's loss in what comes out (N, K). The products of both are the gradient of its weights.
    """
    recipe = run.recipe
    if len(recipe.outputs) > 1:
        raise LookError("This network answers at each place of a sample; blame is for those that answer once a sample.")
    layer = [module for module in run.model.modules() if isinstance(module, nn.Linear)][-1:]
    if not layer or layer[0].out_features != recipe.outputs[0]:
        raise LookError("This network does not end in a dense layer, by whose gradients blame is told.")
    weights = {name: value.to(recipe.device) for name, value in frame.weights.items()}
    inside: list[torch.Tensor] = []
    outside: list[torch.Tensor] = []
    run.model.eval()
    hook = layer[0].register_forward_pre_hook(lambda _, given: inside.append(given[0].detach().float()))
    try:
        for inputs, targets in batches:
            with torch.no_grad(), run.precision():
                outputs = torch.func.functional_call(run.model, weights, inputs).float()
            outputs.requires_grad_()
            # A batch's loss is a mean, of which each sample has its part.
            loss = recipe.loss.of(outputs, targets) * len(targets)
            outside.append(torch.autograd.grad(loss, outputs)[0])
    finally:
        hook.remove()
    into, out = torch.cat(inside), torch.cat(outside)
    if layer[0].bias is not None:
        into = torch.cat([into, torch.ones_like(into[:, :1])], 1)
    return into, out
