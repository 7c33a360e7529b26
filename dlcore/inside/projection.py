"""Projection: what a layer makes of the validation samples, as points on a map: those lie near each other that it can
hardly tell apart.

`activations` is what is asked of a network. Laying them out needs none, so that a thread of its own can do it: by PCA
along axes that are fitted once and then kept, or by t-SNE, which is placed once and followed from there. So points
wander as the network learns, and do not jump.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlcore.catalogue.layer_names import learning
from dlcore.inside.errors import LookError
from dlcore.later import F, nn, torch
from dlcore.memory import EVALUATION_BATCH

if TYPE_CHECKING:
    from dlcore.engine.training import Run

SAMPLES = 1000
UNITS = 1024  # of a convolution's maps, which are averaged over a grid of at most GRID x GRID to be no more
GRID = 4
AXES = 3
FEWEST = 4  # samples that make a map
PERPLEXITY, EXAGGERATION = 30, 12  # as van der Maaten & Hinton 2008 and openTSNE have them
EARLY, LATE, AGAIN = 100, 200, 30  # iterations: exaggerated, then not, and those of each look after the first


class Axes(NamedTuple):
    """Directions in a layer's space."""

    mean: np.ndarray  # (units,)
    directions: np.ndarray  # (AXES, units), of length 1, or 0 where the layer has no more dimensions


@dataclass(frozen=True)
class Activations:
    """What a layer makes of the first validation samples, in their order."""

    layer: str
    values: np.ndarray  # (N, units) float32
    targets: np.ndarray  # (N,) class numbers, or first values
    wrong: np.ndarray  # (N,) whether the network's answer is; of values none is
    classes: tuple[str, ...]  # none for values


def load() -> None:
    """Import what laying out needs, so that no look has to wait for it."""
    import openTSNE.affinity  # noqa: F401
    import sklearn.decomposition  # noqa: F401


def layers(model: nn.Module) -> list[str]:
    """The parts of a network that can be looked at, by the names of their modules, in the order in which they stand."""
    passing = (nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Identity, nn.Embedding)
    return [
        name
        for name, module in model.named_modules()
        if name and not list(module.children()) and not isinstance(module, passing)
    ]


def called(model: nn.Module) -> dict[str, str]:
    """What a person calls each of `layers`: `conv 1`, `ReLU after conv 1`, `output`."""
    learned = {path: name for name, (path, _) in learning(model).items()}
    found, last = {}, "input"
    for path, module in model.named_modules():
        last = learned.get(path, last)
        found[path] = last if path in learned else f"{type(module).__name__} after {last}"
    return {path: found[path] for path in layers(model)}


def activations(run: Run, layer: str | None = None) -> Activations:
    """`layer`: one of `layers`; by default the last but one, of which the answer is made. Of a recurrent layer it is
    what it says after the last step, and of one that is used several times what it says last. Raises LookError.
    """
    recipe, split = run.recipe, run.data.validation.first(SAMPLES)
    if len(recipe.outputs) > 1:
        raise LookError("This network answers at each place of a sample; a map is for those that answer once a sample.")
    if len(split) < FEWEST:
        raise LookError(f"A map needs {FEWEST} validation samples at least, and there are {len(split)}.")
    known = layers(run.model)
    layer = known[-2:][0] if layer is None else layer
    if layer not in known:
        raise LookError(f"There is no layer {layer}; there are {', '.join(known)}.")
    values: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    passed: list = []
    hook = run.model.get_submodule(layer).register_forward_hook(lambda _, __, output: passed.append(output))
    run.model.eval()
    try:
        with torch.no_grad(), run.precision():
            batches = (slice(start, start + EVALUATION_BATCH) for start in range(0, len(split), EVALUATION_BATCH))
            for inputs, _ in split.blocks(batches):
                outputs.append(run.model(inputs))
                values.append(_flat(passed[-1]))
                passed.clear()
    finally:
        hook.remove()
    targets = split.targets.cpu()
    answers = recipe.task.answers(torch.cat(outputs).float(), recipe.loss).cpu()
    wrong = answers != targets if recipe.task.classes else torch.zeros(len(split), dtype=torch.bool)
    found = torch.cat(values).numpy()
    if not np.isfinite(found).all():
        raise LookError("The layer gives no finite numbers any more: the run has diverged; look at an earlier epoch.")
    first = targets if recipe.task.classes else targets.flatten(1)[:, 0]
    return Activations(layer, found, first.numpy(), wrong.numpy(), recipe.task.classes)


def fit(values: np.ndarray) -> Axes:
    """The directions in which values (N, units) vary most, by PCA."""
    from sklearn.decomposition import PCA

    count = min(AXES, *values.shape)
    found = PCA(count, svd_solver="randomized", random_state=0).fit(values)
    directions = np.zeros((AXES, values.shape[1]), np.float32)
    directions[:count] = found.components_
    return Axes(found.mean_.astype(np.float32), directions)


def along(values: np.ndarray, axes: Axes) -> tuple[np.ndarray, np.ndarray]:
    """Where values (N, units) lie along axes, (N, AXES), and the share of their variance that each axis holds."""
    points = (values - axes.mean) @ axes.directions.T
    whole = values.var(0).sum()
    return points, points.var(0) / whole if whole else np.zeros(AXES, np.float32)


def placed(values: np.ndarray, before: np.ndarray | None = None, dimensions: int = 2) -> np.ndarray:
    """Values (N, units) on a map by t-SNE (van der Maaten & Hinton 2008, as openTSNE computes it), (N, dimensions).

    `before`: the map of the last look, from which points wander on; without one it is laid out from its PCA, which
    takes seconds. The same values give the same map.
    """
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN

    perplexity = min(PERPLEXITY, (len(values) - 1) / 3)
    alone = {"n_jobs": 1, "random_state": 0}
    affinities = PerplexityBasedNN(values.astype(np.float64), perplexity, method="exact", **alone)
    if before is None:
        points, _ = along(values, fit(values))
        start = 1e-4 * points[:, :dimensions] / max(points[:, 0].std(), 1e-12)  # small, as openTSNE begins
    else:
        start = before
    found = TSNEEmbedding(start.astype(np.float64), affinities, negative_gradient_method="bh", **alone)
    if before is None:
        found.optimize(EARLY, exaggeration=EXAGGERATION, momentum=0.5, inplace=True)
        found.optimize(LATE, momentum=0.8, inplace=True)
    else:
        found.optimize(AGAIN, momentum=0.5, inplace=True)
    return np.asarray(found, np.float32)


def _flat(output: torch.Tensor | tuple) -> torch.Tensor:
    """A layer's output for a batch as (N, units), on the CPU."""
    if isinstance(output, tuple):  # a recurrent cell's: its outputs at each place, and what it keeps
        output = output[0][:, -1]
    if output.dim() == 4:
        side = max(1, min(GRID, math.isqrt(UNITS // output.shape[1])))
        height, width = (min(side, whole) for whole in output.shape[2:])
        output = F.adaptive_avg_pool2d(output, (height, width))
    return output.detach().flatten(1).float().cpu()
