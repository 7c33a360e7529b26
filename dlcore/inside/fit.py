"""Fit: what a network makes of a data set that can be seen whole, one or two features, to be drawn over its points."""

from dataclasses import dataclass

import numpy as np
import torch

from dlcore.catalogue.spec import Features
from dlcore.engine.predicting import predict
from dlcore.engine.training import Run
from dlcore.recipe import Recipe

CURVE, GRID, POINTS = 200, 50, 400  # places along a line, along each side of a plane, and points drawn at most
MARGIN = 0.15  # of the data's extent, shown beyond it


@dataclass(frozen=True)
class Fit:
    """The network's answers over the range of the data: values, or the second class's probability.

    With one feature `answers` is (CURVE,) over `axes[0]`; with two it is (GRID, GRID), rows along `axes[1]`.
    """

    axes: list[np.ndarray]
    answers: np.ndarray
    points: np.ndarray  # training samples (N, features)
    targets: np.ndarray  # (N,)


def visible(recipe: Recipe) -> bool:
    """Whether a recipe's data can be drawn whole."""
    inputs = recipe.data.spec().inputs
    return isinstance(inputs, Features) and len(inputs.names) <= 2


def fit(run: Run) -> Fit:
    """To be asked of a job whose recipe is `visible`."""
    points = run.data.train.inputs[:POINTS].cpu()
    low, high = points.amin(0), points.amax(0)
    margin = (high - low) * MARGIN
    count = CURVE if len(low) == 1 else GRID
    axes = [torch.linspace(*ends, count) for ends in zip(low - margin, high + margin, strict=True)]
    places = torch.stack(torch.meshgrid(*axes, indexing="xy"), -1).view(-1, len(axes))
    answers = predict(run, places)[:, -1].view([count] * len(axes))
    targets = run.data.train.targets[:POINTS].flatten().cpu()
    return Fit([axis.numpy() for axis in axes], answers.numpy(), points.numpy(), targets.numpy())
