"""Mistakes: what a network gets wrong on the validation samples, how badly, and how sure it is when it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlcore.catalogue.datasets import Data
from dlcore.catalogue.metrics import confusion
from dlcore.catalogue.spec import Picture
from dlcore.inside.errors import LookError
from dlcore.inside.frames import networks
from dlcore.later import torch
from dlcore.memory import EVALUATION_BATCH
from dlcore.runs.film import Frame

if TYPE_CHECKING:
    from dlcore.catalogue.splits import FiledSplit, Split
    from dlcore.engine.training import Run

MOST = 10_000  # samples that are looked at, the first ones
BINS = 15  # of the reliability diagram, as in Guo et al. 2017


@dataclass(frozen=True)
class Calibration:
    """How often a network is right, by how sure it is; bins of equal width from 0 to 1."""

    edges: np.ndarray  # (BINS + 1,)
    counts: np.ndarray  # (BINS,) samples whose likeliest class has such a probability
    confidence: np.ndarray  # (BINS,) mean of that probability; not a number where there is no sample
    accuracy: np.ndarray  # (BINS,) share of them that are right
    error: float  # the expected calibration error: the mean of |accuracy - confidence| over samples


@dataclass(frozen=True)
class Mistakes:
    """A classifier's answers to N validation samples, by their places in the split."""

    data: Data
    classes: tuple[str, ...]
    targets: np.ndarray  # (N,)
    predicted: np.ndarray  # (N,)
    loss: np.ndarray  # (N,)
    probability: np.ndarray  # (N,) of the class that it says
    confusion: np.ndarray  # (classes, classes): of each class (row), how many were taken for each (column)
    calibration: Calibration
    samples: int  # in the whole split

    @property
    def accuracy(self) -> np.ndarray:
        """(classes,) share of each that is right; not a number for a class without samples."""
        return _shares(self.confusion)

    def worst(self, count: int) -> np.ndarray:
        """The places of what is wrong, the largest loss first."""
        wrong = np.flatnonzero(self.targets != self.predicted)
        return wrong[np.argsort(-self.loss[wrong], kind="stable")][:count]

    def cell(self, target: int, predicted: int) -> np.ndarray:
        """The places behind a cell of the confusion, the largest loss first."""
        there = np.flatnonzero((self.targets == target) & (self.predicted == predicted))
        return there[np.argsort(-self.loss[there], kind="stable")]


@dataclass(frozen=True)
class Residuals:
    """How far a network's values are from what is right, on N validation samples."""

    targets: np.ndarray  # (N, numbers)
    predicted: np.ndarray  # (N, numbers)
    loss: np.ndarray  # (N,)
    samples: int  # in the whole split

    def worst(self, count: int) -> np.ndarray:
        """Places, the largest loss first."""
        return np.argsort(-self.loss, kind="stable")[:count]


class Known(NamedTuple):
    """How well each class is known after an epoch."""

    epoch: int
    accuracy: np.ndarray  # (classes,)


def mistakes(run: Run) -> Mistakes:
    """Raises LookError for a regression, where nothing is right or wrong."""
    classes = _classes(run)
    probabilities, loss = _asked(run)
    targets = run.data.validation.targets[:MOST].cpu()
    likeliest, predicted = probabilities.max(1)
    counted = confusion(targets.numpy(), predicted.numpy(), len(classes))
    return Mistakes(
        run.recipe.data,
        classes,
        targets.numpy(),
        predicted.numpy(),
        loss.numpy(),
        likeliest.numpy(),
        counted,
        _calibration(probabilities, targets),
        len(run.data.validation),
    )


def residuals(run: Run) -> Residuals:
    """Raises LookError for classes, which are right or wrong and not near or far."""
    if run.recipe.task.classes:
        raise LookError(f"{run.recipe.data.title} has classes and no numbers: there are its mistakes instead.")
    values, loss = _asked(run)
    targets = run.data.validation.targets[:MOST].cpu().numpy()
    return Residuals(targets, values.numpy(), loss.numpy(), len(run.data.validation))


def over_time(run: Run, frames: Iterable[Frame]) -> list[Known]:
    """How well each class is known with the weights of each frame: a pass over the validation samples each."""
    classes, found = _classes(run), []
    targets = run.data.validation.targets[:MOST].cpu().numpy()
    for frame, network in networks(run, frames):
        predicted = _asked(network)[0].argmax(1).numpy()
        found.append(Known(frame.epoch, _shares(confusion(targets, predicted, len(classes)))))
    return found


def between(one: Mistakes, other: Mistakes) -> tuple[np.ndarray, np.ndarray]:
    """The places of what `one` gets right and `other` wrong, and the other way round; the largest loss of who is wrong
    first. Raises LookError unless both were shown the same samples.
    """
    if one.data != other.data:
        raise LookError(
            "These two runs were validated on different samples; runs on the same data with the same split seed can "
            "be set side by side."
        )
    right, also = (each.targets == each.predicted for each in (one, other))
    found = (np.flatnonzero(right & ~also), other.loss), (np.flatnonzero(~right & also), one.loss)
    first, second = (places[np.argsort(-loss[places], kind="stable")] for places, loss in found)
    return first, second


def samples(run: Run, places: Sequence[int] | np.ndarray, split: Split | FiledSplit | None = None) -> np.ndarray:
    """Samples as a person sees them: pictures (N, H, W, C) uint8, or features (N, features) float32. Of the validation
    split, or of the one that is given.
    """
    split = split or run.data.validation
    inputs, _ = split[torch.as_tensor(np.asarray(places, np.int64), device=split.targets.device)]
    raw = (inputs * run.data.std.to(inputs) + run.data.mean.to(inputs)).cpu()
    if not isinstance(run.recipe.data.spec().inputs, Picture):
        return raw.numpy()
    return raw.mul(255).round().clamp(0, 255).byte().movedim(1, -1).numpy()


def _classes(run: Run) -> tuple[str, ...]:
    if classes := run.recipe.task.classes:
        return classes
    raise LookError(
        f"{run.recipe.data.title} has numbers and no classes, so that nothing is taken for anything else: there are "
        "the largest errors instead."
    )


def _asked(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities (N, classes), or values (N, numbers), of the validation samples; and the loss (N,) of each."""
    recipe, split = run.recipe, run.data.validation.first(MOST)
    run.model.eval()

    def one(output, target):
        return recipe.loss.of(output[None], target[None])

    told, losses = [], []
    batches = [slice(start, start + EVALUATION_BATCH) for start in range(0, len(split), EVALUATION_BATCH)]
    with torch.no_grad():
        for inputs, targets in split.blocks(batches):
            with run.precision():
                outputs = run.model(inputs)
            outputs = outputs.float()
            told.append(recipe.task.predict(outputs, recipe.loss).cpu())
            losses.append(torch.func.vmap(one)(outputs, targets).cpu())
    return torch.cat(told), torch.cat(losses)


def _shares(counted: np.ndarray) -> np.ndarray:
    of_each = counted.sum(1)
    return np.divide(counted.diagonal(), of_each, out=np.full(len(counted), np.nan), where=of_each > 0)


def _calibration(probabilities: torch.Tensor, targets: torch.Tensor) -> Calibration:
    """Top-label, by torchmetrics; which has no function for the bins alone, so that these are counted here."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    # A probability of 1 falls into the last bin, and not beyond it.
    probabilities = probabilities.clamp(0, 1 - 1e-7)
    classes = probabilities.shape[1]
    error = multiclass_calibration_error(probabilities, targets, classes, n_bins=BINS, validate_args=False)
    confidence, predicted = probabilities.max(1)
    edges = torch.linspace(0, 1, BINS + 1)
    bins = (torch.bucketize(confidence, edges, right=True) - 1).numpy()
    counts = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, of, BINS) for of in (confidence.numpy(), (predicted == targets).numpy())]
    means = [np.divide(of, counts, out=np.full(BINS, np.nan), where=counts > 0) for of in sums]
    return Calibration(edges.numpy(), counts, *means, error=float(error))
