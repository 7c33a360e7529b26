"""Anatomy: a network as a picture: the input, what each layer makes of it, what is strongest between them, the answer.

Everything is bounded, so that a look takes milliseconds and the picture fits a message: of a large layer the first
units are drawn, of many layers some. Which ones, and how finely, hangs on the architecture alone: nothing moves from
one look to the next.

A layer shows what it answers after its activation function and before pooling: that is where a pattern was found, at
the picture's own resolution. What is strongest between two layers is weight × activation, the share that a connection
has in a unit's sum for this sample; where every unit carries its own map of the plane, which is of all samples at once,
it is the weight alone. The idea of such maps is TensorFlow Playground's (https://playground.tensorflow.org).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dlcore.catalogue.spec import Features, Picture
from dlcore.inside.errors import LookError
from dlcore.inside.fit import MARGIN, POINTS
from dlcore.inside.tracing import Traced, trace
from dlcore.later import F, nn, torch

if TYPE_CHECKING:
    from dlcore.engine.training import Run

MOST_LAYERS = 6  # that are drawn between input and answer
MOST_UNITS = 128  # of a layer, as cells
MOST_MAPS = 32  # of a layer, as tiles; half as many where more than FEW layers have them
FEW = 3
MOST_VALUES = 20_000  # in all tiles together
FINE, COARSE = 40, 20  # places along each side of a plane: of the answer's map, and of a unit's at most
LINKS = 40  # connections into a layer
DOTS = 150  # training samples over the answer's own map
BATCH, SLOW = 256, 64  # validation samples that a unit is asked about, and those where a network is large
LARGE = 1_000_000  # parameters
AT_ONCE = 32  # samples that are traced together
BINS, EXCITING = 20, 9


@dataclass(frozen=True)
class Links:
    """The strongest connections into a layer, strongest first; all (k,).

    sources: units of the layer before, or features; pixels, row by row, where the layer before is a picture.
    strengths: weight × activation or, for units with maps of their own, weight; with its sign.
    """

    sources: np.ndarray
    targets: np.ndarray
    strengths: np.ndarray


NONE = Links(np.zeros(0, int), np.zeros(0, int), np.zeros(0))


@dataclass(frozen=True)
class Input:
    """A sample as it is before it is normalised: a picture (C, H, W) in 0..1, features (F,), or a series (T, C)."""

    values: np.ndarray
    names: tuple[str, ...] = ()  # of features
    plane: np.ndarray | None = None  # a map each feature, as units have


@dataclass(frozen=True)
class Layer:
    """What a layer makes of the sample, in its first units.

    activations: (units,) of a dense layer, (units, height, width) of maps, (time, units) of states.
    plane: what each unit answers over the plane of two features (units, COARSE, COARSE) or less, rows along the second
    feature; over one feature (units, FINE); None for other data.
    """

    name: str  # by which `unit` knows it
    title: str
    then: tuple[str, ...]  # activation, normalisation, pooling
    output: tuple[int, ...]  # of one sample, as it is handed on
    units: int  # all of them, drawn or not
    activations: np.ndarray
    links: Links = NONE
    plane: np.ndarray | None = None


@dataclass(frozen=True)
class Answer:
    """What the network says: probabilities of classes, or values."""

    layer: str  # the name of the layer that answers, "" where none alone does
    units: int  # how many it has: one of them may tell of two classes
    names: tuple[str, ...]
    values: np.ndarray  # (names,)
    right: int | None  # the sample's class
    target: np.ndarray | None  # the sample's values (names,), for numbers
    links: Links = NONE  # their targets are places in `names`
    plane: np.ndarray | None = None  # (names, FINE, FINE), or (names, FINE)


@dataclass(frozen=True)
class Anatomy:
    """All there is to draw."""

    input: Input
    layers: tuple[Layer, ...]
    hidden: int  # layers between input and answer, drawn or not
    answer: Answer
    sample: int | None  # its place in the validation part; None for one from elsewhere
    samples: int  # how many there are
    axes: tuple[tuple[float, float], ...] = ()  # from where to where the maps reach, a feature each
    span: tuple[float, float] = (0.0, 1.0)  # and the data's classes or values
    dots: np.ndarray | None = None  # training samples (N, features), where there are maps
    marks: np.ndarray | None = None  # their classes or values (N,)


@dataclass(frozen=True)
class Unit:
    """One unit from nearby."""

    layer: str
    title: str
    number: int
    weights: np.ndarray  # (C, height, width) of a filter or of what looks at maps; (rows, inputs) else
    bias: float | None
    activation: np.ndarray  # on the sample: a number (), a map (height, width), or over time (time,)
    values: np.ndarray  # (N,) over validation samples: the highest of a map, the last of a state
    counts: np.ndarray  # (BINS,) of these values
    edges: np.ndarray  # (BINS + 1,)
    strongest: np.ndarray  # places in the validation part of the samples that excite it most
    inputs: np.ndarray  # these samples, as `Input.values`
    targets: np.ndarray


def anatomy(run: Run, sample: int | torch.Tensor) -> Anatomy:
    """What there is to draw of a network that looks at a validation sample, by its place, or at an input (*shape),
    raw as a drawing is. Raises LookError for a sample that is not there.
    """
    spec, data = run.recipe.data.spec(), run.data
    given, target = _sample(run, sample)
    traced, outputs = trace(run, given[None])
    task, loss = run.recipe.task, run.recipe.loss
    hidden, last = (traced[:-1], traced[-1]) if _answers(traced, outputs) else (traced, None)
    features = spec.inputs.names if isinstance(spec.inputs, Features) else ()
    flat = 0 < len(features) <= 2
    drawn = _drawn(len(hidden))
    tiles = [layer for place, layer in enumerate(hidden) if place in drawn and layer.shown.dim() == 4]
    most = MOST_MAPS if len(tiles) <= FEW else MOST_MAPS // 2
    layers = []
    for place in drawn:
        layer, before = hidden[place], hidden[place - 1] if place else None
        near = place == 0 or place - 1 in drawn
        links = _links(layer, before, spec.inputs, most, flat) if near else NONE
        layers.append(_layer(layer, links, most, MOST_VALUES // max(1, len(tiles))))
    links = _links(last, hidden[-1] if hidden else None, spec.inputs, most, flat) if last else NONE
    names = task.classes or task.names
    if outputs.shape[1] < len(names):  # one output tells the second of two classes
        links = replace(links, targets=links.targets + 1)
    said = task.predict(outputs, loss)[0]
    answer = Answer(
        layer=last.name if last else "",
        units=outputs.shape[1],
        names=names,
        values=_numbers(said),
        right=None if target is None or not task.classes else int(target),
        target=None if target is None or task.classes else _numbers(target.reshape(-1)),
        links=links,
    )
    place = None if isinstance(sample, torch.Tensor) else sample
    raw = _numbers(given * data.std + data.mean)
    found = Anatomy(Input(raw, features), tuple(layers), len(hidden), answer, place, len(data.validation))
    return _with_plane(run, found) if flat and len(data.train) else found


def unit(run: Run, layer: str, number: int, sample: int | torch.Tensor = 0) -> Unit:
    """A unit from nearby; `layer` is a name of those that `anatomy` gives, the answer's own layer counts too. Raises
    LookError.
    """
    given, _ = _sample(run, sample)
    traced, _ = trace(run, given[None])
    names = [one.name for one in traced]
    if layer not in names:
        raise LookError(f"There is no layer {layer}; there are {', '.join(names)}.")
    place = names.index(layer)
    one, before = traced[place], traced[place - 1] if place else None
    if not 0 <= number < _units(one):
        raise LookError(f"Layer {layer} has {_units(one)} units, from 0 to {_units(one) - 1}; there is no {number}.")
    size = sum(parameter.numel() for parameter in run.model.parameters())
    split = run.data.validation.first(BATCH if size <= LARGE else SLOW)
    parts = [slice(start, start + AT_ONCE) for start in range(0, len(split), AT_ONCE)]
    values = [_excitement(trace(run, inputs)[0][place].shown, number) for inputs, _ in split.blocks(parts)]
    values = np.concatenate(values) if values else np.zeros(0)
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, BINS)
    strongest = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:EXCITING]
    inputs, targets = split[torch.from_numpy(strongest)] if len(split) else (given[None][:0], torch.zeros(0))
    bias = getattr(one.module, "bias", None)
    return Unit(
        layer=layer,
        title=one.title,
        number=number,
        weights=_numbers(_weights(one, before, run.recipe.data.spec().inputs, number)),
        bias=float(bias.detach()[number]) if isinstance(bias, torch.Tensor) else None,
        activation=_numbers(one.shown[0][..., number] if one.shown.dim() < 4 else one.shown[0, number]),
        values=values,
        counts=counts,
        edges=edges,
        strongest=strongest,
        inputs=_numbers(inputs * run.data.std + run.data.mean),
        targets=targets.cpu().numpy(),
    )


def _sample(run: Run, sample: int | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """An input (*shape), normalised, on the run's device, and its target."""
    if isinstance(sample, torch.Tensor):
        if tuple(sample.shape) != run.recipe.shape:
            raise LookError(f"This network takes {run.recipe.shape}, not {tuple(sample.shape)}.")
        return ((sample.to(run.data.mean.device) - run.data.mean) / run.data.std), None
    count = len(run.data.validation)
    if not 0 <= sample < count:
        there = f"they are numbered from 0 to {count - 1}" if count else "draw one, or choose a run with its data"
        raise LookError(f"There is no validation sample {sample}; {there}.")
    inputs, targets = run.data.validation[sample : sample + 1]
    return inputs[0], targets[0]


def _answers(traced: list[Traced], outputs: torch.Tensor) -> bool:
    """Whether the last layer's outputs are the network's."""
    return bool(traced) and traced[-1].handed.shape == outputs.shape


def _drawn(count: int) -> list[int]:
    """Which of so many layers are drawn: the first, the last, and some between, evenly."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MOST_LAYERS))})


def _units(layer: Traced) -> int:
    return layer.shown.shape[1 if layer.shown.dim() == 4 else -1]


def _layer(layer: Traced, links: Links, most: int, room: int) -> Layer:
    shown = layer.shown[0].float()
    if shown.dim() == 3:
        shown = shown[:most]
        side = math.isqrt(room // len(shown))  # every place counts, so tiles are shrunk by averaging
        if max(shown.shape[1:]) > side:
            shown = F.adaptive_avg_pool2d(shown, tuple(min(side, length) for length in shown.shape[1:]))
    else:
        shown = shown[..., :MOST_UNITS]
    output = tuple(layer.handed.shape[1:])
    return Layer(layer.name, layer.title, tuple(layer.then), output, _units(layer), _numbers(shown), links)


def _links(layer: Traced, before: Traced | None, inputs: object, most: int, weights_alone: bool) -> Links:
    """The strongest connections between what is drawn of a layer and of the one before it, or of the input."""
    if not isinstance(layer.module, nn.Linear | nn.Conv2d):
        return NONE
    weight, given = layer.module.weight.detach(), layer.given[0].float()
    if isinstance(layer.module, nn.Linear):
        given = given[-1] if given.dim() == 2 else given  # of a series the last step
        shares = weight[:MOST_UNITS] * (1 if weights_alone else given)
        shares = _by_source(shares, before, inputs)
    else:  # the mean over all places of what one map adds to another, but for the places at the border
        shares = weight[:most].sum((2, 3)) * given.mean((1, 2)) if layer.module.groups == 1 else None
    if shares is None:
        return NONE
    if before is not None:
        shares = shares[:, : most if before.shown.dim() == 4 else MOST_UNITS]
    shares = shares.nan_to_num(0, 0, 0)
    strongest = shares.abs().flatten().topk(min(LINKS, shares.numel())).indices
    targets, sources = strongest // shares.shape[1], strongest % shares.shape[1]
    found = (part.cpu().numpy() for part in (sources, targets))
    return Links(*found, _numbers(shares.flatten()[strongest]))


def _by_source(shares: torch.Tensor, before: Traced | None, inputs: object) -> torch.Tensor | None:
    """Shares (units, numbers) of the numbers that a dense layer takes, added up by what they are drawn as."""
    numbers = shares.shape[1]
    if before is None:
        if isinstance(inputs, Picture) and numbers == math.prod(inputs.shape):
            return shares.view(len(shares), inputs.channels, -1).sum(1)  # a pixel's colours together
        return shares if isinstance(inputs, Features) else None
    if before.shown.dim() == 4:
        maps = before.shown.shape[1]
        return shares.view(len(shares), maps, -1).sum(2) if numbers % maps == 0 else None
    return shares if numbers == _units(before) else None


def _with_plane(run: Run, found: Anatomy) -> Anatomy:
    """With every unit's map, over the range of the data."""
    parts = [run.data.train[:POINTS], run.data.validation[:POINTS]]
    inputs, targets = (torch.cat(part) for part in zip(*parts, strict=True))
    axes = tuple(_wider(low, high) for low, high in zip(inputs.amin(0).tolist(), inputs.amax(0).tolist(), strict=True))
    lines = [torch.linspace(*ends, FINE) for ends in axes]
    places = torch.stack(torch.meshgrid(*lines, indexing="xy"), -1).view(-1, len(axes)).to(inputs.device)
    traced, outputs = trace(run, (places - run.data.mean) / run.data.std)
    drawn = sum(len(layer.activations) for layer in found.layers) + len(axes)
    room = MOST_VALUES if len(axes) == 1 else math.isqrt(MOST_VALUES // drawn)
    step = math.ceil(FINE / max(1, min(room, FINE if len(axes) == 1 else COARSE)))

    def maps(values: torch.Tensor) -> np.ndarray:
        return _numbers(values.float().T).reshape(-1, *[FINE] * len(axes))

    def coarse(values: torch.Tensor) -> np.ndarray:
        return maps(values)[(slice(None), *[slice(step // 2, None, step)] * len(axes))]

    shown = {layer.name: layer.shown for layer in traced}
    dots, marks = run.data.train[:DOTS]
    return replace(
        found,
        input=replace(found.input, plane=coarse(places)),
        layers=tuple(replace(one, plane=coarse(shown[one.name][:, : len(one.activations)])) for one in found.layers),
        answer=replace(found.answer, plane=maps(run.recipe.task.predict(outputs, run.recipe.loss))),
        axes=axes,
        span=_wider(float(targets.min()), float(targets.max())),
        dots=_numbers(dots),
        marks=_numbers(marks.flatten()),
    )


def _wider(low: float, high: float) -> tuple[float, float]:
    margin = (high - low or 1.0) * MARGIN
    return low - margin, high + margin


def _excitement(shown: torch.Tensor, number: int) -> np.ndarray:
    """How much a unit answers to each of a batch (N, ...)."""
    if shown.dim() == 4:
        return _numbers(shown[:, number].amax((1, 2)))
    return _numbers(shown[:, -1, number] if shown.dim() == 3 else shown[:, number])


def _weights(layer: Traced, before: Traced | None, inputs: object, number: int) -> torch.Tensor:
    """What a unit multiplies its inputs by, in the form of what it looks at where that has one."""
    module = layer.module
    if isinstance(module, nn.RNNBase):
        top = getattr(module, f"weight_ih_l{module.num_layers - 1}")
        return top.view(-1, module.hidden_size, top.shape[1])[:, number]  # a row for each gate
    if isinstance(module, nn.Embedding):
        return module.weight[None, :, number]
    weight = next(parameter for parameter in module.parameters() if parameter.dim() > 1)
    weight = weight[number % len(weight)]
    if weight.dim() > 1:
        return weight
    if before is None and isinstance(inputs, Picture) and len(weight) == math.prod(inputs.shape):
        return weight.view(inputs.shape)
    if before is not None and before.handed.dim() == 4 and len(weight) == before.handed[0].numel():
        return weight.view(before.handed.shape[1:])
    return weight[None]


def _numbers(values: torch.Tensor) -> np.ndarray:
    return values.detach().float().cpu().numpy()
