"""Landscape: the loss around a run, over a plane in the space of its weights, and the paths that runs took to there.

A plane goes through the weights of one network, its centre, along two directions:

- `random`: drawn at random, each filter's part rescaled to the norm of that filter, biases and batch norm left alone,
  so that networks whose weights are larger do not look flatter (https://arxiv.org/abs/1712.09913, section 4).
- `film`: the first two principal components of the weights that the runs had after their epochs (section 7 there).

What is computed is a copy: neither a network in training nor a default generator is touched.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from dlcore.catalogue.architectures import skeleton
from dlcore.inside.errors import LookError
from dlcore.later import nn, torch
from dlcore.recipe import Recipe
from dlcore.runs.checkpoints import form
from dlcore.runs.film import Frame
from dlcore.runs.store import Store

if TYPE_CHECKING:
    from dlcore.engine.training import Run

PLANES = ("film", "random")
SIDE, SAMPLES = 31, 512
STRIDES = (6, 3, 1)  # of every how many points along each side to take one; the coarsest first
MOST_FRAMES = 100  # of all paths together: the loss is taken twice for each
MOST_NUMBERS = 40_000_000  # in all those frames
MOST_WEIGHTS = 5_000_000  # of a network
MARGIN = 0.25  # of the paths' extent, shown beyond them
THINNEST = 0.1  # extent of the narrower side over that of the wider one, at least

Plane = Literal["film", "random"]
Weights = Mapping[str, "torch.Tensor"]


class Still(NamedTuple):
    """A run as it stood at a moment, on the CPU: what its loss is computed from."""

    recipe: Recipe
    weights: Weights  # its state dict
    inputs: torch.Tensor  # (N, *shape): the first of its training samples, always the same
    targets: torch.Tensor


class Course(NamedTuple):
    """The frames of a run, first to last."""

    run: int  # its number
    recipe: Recipe
    frames: Sequence[Frame]


class Point(NamedTuple):
    """A frame on the plane, at the place of it that is nearest; losses are NaN until they are computed."""

    epoch: int
    x: float
    y: float
    loss_in_plane: float = math.nan
    loss_true: float = math.nan


class Path(NamedTuple):
    """What the plane shows of a course."""

    run: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Landscape:
    """Losses over a plane whose (0, 0) is its centre.

    Along random directions a unit is the length of the weights themselves; along principal components it is a distance
    in the space of weights.
    """

    plane: Plane
    axes: tuple[np.ndarray, np.ndarray]
    loss: np.ndarray  # rows along axes[1]; NaN where it is not computed yet, or is no number
    paths: tuple[Path, ...]
    variance: float | None  # the share of the paths' variance that the plane holds; None without paths
    samples: int  # that a loss is the mean over
    done: float = 0.0  # share of the work


def still(run: Run) -> Still:
    """To be asked of a job: a copy, so that the work itself holds nobody up."""
    inputs, targets = run.data.train.first(SAMPLES)[:]
    weights = {name: value.detach().to("cpu", copy=True) for name, value in run.model.state_dict().items()}
    return Still(run.recipe, weights, inputs.cpu(), targets.cpu())


def kept_frames(store: Store, number: int) -> list[Frame]:
    """The film of a run of the store, or what its checkpoints hold where there is none, as of a run that was kept
    before there were films. Raises StoreError as `Store.checkpoint` does.
    """
    if len(film := store.film(number)) > 1:
        return film.read()[0]
    found = [store.checkpoint(number, epoch) for epoch in store.epochs_kept(number)]
    return [Frame(one.epochs, one.step, one.model, {}) for one in found]


def landscape(
    centre: Still, courses: Sequence[Course] = (), plane: Plane = "random", seed: int = 0, side: int = SIDE
) -> Iterator[Landscape]:
    """The landscape around `centre`, ever finer: one after each loss that was computed, the last of them whole.

    A plane of `film` goes through the last frame of the first course instead. `seed` is for random directions. To
    cancel is not to ask for the next one. Raises LookError, before anything is computed, for what cannot be had.
    """
    network = skeleton(centre.recipe.model, centre.recipe.inputs, centre.recipe.outputs).eval()
    names = [name for name, _ in network.named_parameters()]
    size = sum(centre.weights[name].numel() for name in names)
    if size > MOST_WEIGHTS:
        told = f"A network of {size:,} weights is too large for a landscape"
        raise LookError(f"{told}; it can be had for up to {MOST_WEIGHTS:,} weights.")
    if plane == "film" and courses and not courses[0].frames:
        told = f"Run {courses[0].run} has no film yet, after whose first epochs there is one to see"
        raise LookError(f"{told}; random directions can be had.")
    courses = [course for course in courses if course.frames]
    _check_fit(centre, courses)
    courses = _thinned(courses, min(MOST_FRAMES, MOST_NUMBERS // size))
    if plane == "film" and sum(len(course.frames) for course in courses) < 3:
        raise LookError("Principal components take three frames of a film or more; random directions can be had.")
    if plane == "film":
        centre = centre._replace(weights=courses[0].frames[-1].weights)
    frames = [_flat(frame.weights, names) for course in courses for frame in course.frames]
    frames = torch.stack(frames).double() if frames else torch.zeros(0, size)
    middle = _flat(centre.weights, names)
    if plane == "film":
        directions = _principal(frames)
    else:
        directions = _random({name: centre.weights[name] for name in names}, seed)
    places = _projected(frames - middle, directions)
    parts = [_named(direction.float(), centre.weights, names) for direction in directions]
    axes = _axes(places if plane == "film" else None, side)
    ends = np.cumsum([len(course.frames) for course in courses])[:-1]
    paths = []
    for course, found in zip(courses, np.split(places, ends), strict=False):
        points = (Point(frame.epoch, *place) for frame, place in zip(course.frames, found.tolist(), strict=True))
        paths.append(Path(course.run, tuple(points)))
    start = Landscape(plane, axes, np.empty((0, 0)), tuple(paths), _variance(frames, directions), len(centre.targets))
    return _computed(network, centre, courses, parts, start)


def _computed(
    network: nn.Module, centre: Still, courses: Sequence[Course], directions: Sequence[Weights], start: Landscape
) -> Iterator[Landscape]:
    (x, y), paths = start.axes, [list(path.points) for path in start.paths]
    strides = [stride for stride in STRIDES if (len(x) - 1) % stride == 0]
    losses, known = np.full((len(y), len(x)), math.nan), np.zeros((len(y), len(x)), bool)
    work, done, shown = losses.size + sum(map(len, paths)), 0, strides[0]

    def now() -> Landscape:
        each = slice(None, None, shown)
        told = tuple(Path(path.run, tuple(points)) for path, points in zip(start.paths, paths, strict=True))
        return replace(start, axes=(x[each], y[each]), loss=losses[each, each].copy(), paths=told, done=done / work)

    for stride in strides:
        for row in range(0, len(y), stride):
            along = _moved(centre.weights, directions[1], y[row])
            for column in range(0, len(x), stride):
                if not known[row, column]:
                    losses[row, column] = _loss(network, centre, _moved(along, directions[0], x[column]))
                    known[row, column] = True
                    done += 1
                    yield now()
        shown = stride
        if stride == strides[0]:  # the paths come before what is finer
            for course, points in zip(courses, paths, strict=True):
                for place, (frame, point) in enumerate(zip(course.frames, points, strict=True)):
                    nearest = _moved(_moved(centre.weights, directions[1], point.y), directions[0], point.x)
                    both = (_loss(network, centre, weights) for weights in (nearest, frame.weights))
                    points[place] = Point(*point[:3], *both)
                    done += 1
                    yield now()
    yield now()


def _loss(network: nn.Module, centre: Still, weights: Weights) -> float:
    """As `training.evaluate` measures it, with these weights."""
    half = centre.recipe.precision != "float32"
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
        outputs = torch.func.functional_call(network, dict(weights), centre.inputs)
        return float(centre.recipe.loss.of(outputs, centre.targets))


def _moved(weights: Weights, direction: Weights, far: float) -> Weights:
    """Weights so far along a direction; what the direction does not name, such as buffers, stays."""
    return {**weights, **{name: weights[name].add(part, alpha=float(far)) for name, part in direction.items()}}


def _axes(places: np.ndarray | None, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Both axes, around the places (n, 2) and the centre; without places as far as the weights are long."""
    if places is None:
        return np.linspace(-1, 1, side), np.linspace(-1, 1, side)
    low, high = np.minimum(places.min(0), 0), np.maximum(places.max(0), 0)
    half = np.maximum(high - low, THINNEST * (high - low).max()) * (0.5 + MARGIN)
    x, y = (np.linspace(*ends, side) for ends in zip((low + high) / 2 - half, (low + high) / 2 + half, strict=True))
    return x, y


def _random(weights: Weights, seed: int) -> torch.Tensor:
    """Two directions (2, weights), each filter's part as long as the filter: the weights that lead to one unit, or to
    one map. What is but one number a unit, a bias or a part of batch norm, stays. Raises LookError when they are one.
    """
    from dlcore.engine.randomness import generator  # PyTorch is here by then

    def direction(source: torch.Generator) -> Iterator[torch.Tensor]:
        for value in weights.values():
            if value.dim() < 2:
                yield torch.zeros(value.numel())
                continue
            drawn = torch.randn(value.shape, generator=source).flatten(1)
            lengths = value.flatten(1).norm(dim=1) / drawn.norm(dim=1)
            yield (drawn * lengths[:, None]).flatten()

    sources = (generator(seed, "landscape", number) for number in (1, 2))
    found = torch.stack([torch.cat(list(direction(source))) for source in sources]).double()
    if float(torch.corrcoef(found)[0, 1].square()) > 1 - 1e-6:
        told = "Each unit of this network has but one weight, so that all random directions are one"
        raise LookError(f"{told}; the principal components of its film can be had.")
    return found


def _principal(frames: torch.Tensor) -> torch.Tensor:
    """The first two principal components (2, weights) of frames (n, weights), of length one; seen from the last frame,
    the first lies where both coordinates are negative. Raises LookError when the frames lie on a line.
    """
    centred = frames - frames.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)  # ascending; frames are few, and weights many
    if values[-2] <= 1e-12 * values[-1]:
        raise LookError("The frames of this film lie on one line, which makes no plane; random directions can be had.")
    found = (vectors[:, [-1, -2]] / values[[-1, -2]].sqrt()).T @ centred
    back = found @ (frames[0] - frames[-1])
    return torch.where(back > 0, -1.0, 1.0)[:, None] * found


def _projected(moved: torch.Tensor, directions: torch.Tensor) -> np.ndarray:
    """The places (n, 2) on the plane that are nearest to weights (n, weights), which are seen from its centre."""
    # Random directions are not quite at right angles to each other.
    return torch.linalg.solve(directions @ directions.T, directions @ moved.T.double()).T.numpy()


def _variance(frames: torch.Tensor, directions: torch.Tensor) -> float | None:
    """The share of the variance of frames (n, weights) that lies in a plane."""
    if not len(frames):
        return None
    centred = frames - frames.mean(0)
    everything = float(centred.square().sum())
    square, _ = torch.linalg.qr(directions.T)
    return float((centred @ square).square().sum()) / everything if everything else None


def _flat(weights: Weights, names: Sequence[str]) -> torch.Tensor:
    return torch.cat([weights[name].flatten() for name in names])


def _named(flat: torch.Tensor, like: Weights, names: Sequence[str]) -> Weights:
    parts = flat.split([like[name].numel() for name in names])
    return {name: part.view(like[name].shape) for name, part in zip(names, parts, strict=True)}


def _check_fit(centre: Still, courses: Sequence[Course]) -> None:
    """Raises LookError when a course is one of another network, of other data, or of another loss."""
    ours = ground(centre.recipe)
    for course in courses:
        other = next((what for what, value in ground(course.recipe).items() if value != ours[what]), None)
        if other is None and any(form(frame.weights) != form(centre.weights) for frame in course.frames):
            other = "network"
        if other:
            told = f"Run {course.run} has another {other} than the run around which the landscape is"
            raise LookError(f"{told}; runs can share one that differ in how they learn, as in a race of optimizers.")


def ground(recipe: Recipe) -> dict[str, object]:
    """What the loss at given weights hangs on; dropout is off."""
    network = recipe.model.model_dump(exclude={"dropout", "channel_dropout"})
    return {"network": network, "data set": recipe.data, "loss": recipe.loss}


def _thinned(courses: Sequence[Course], most: int) -> list[Course]:
    """Courses with so many frames in all at most, evenly, each with its first and last."""
    each = max(2, most // max(1, len(courses)))

    def thin(frames: Sequence[Frame]) -> list[Frame]:
        places = np.linspace(0, len(frames) - 1, min(each, len(frames))).round().astype(int)
        return [frames[place] for place in places]

    return [course._replace(frames=thin(course.frames)) for course in courses]
