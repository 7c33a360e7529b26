"""What the browser is sent of an anatomy: numbers as bytes, and all words. Pure.

Every array becomes one byte a number: signed ones around 128, which is zero, in units of their `scale`; the largest of
a message then is some 30 kB, however large the network.
"""

import base64
from collections.abc import Sequence

import numpy as np

from dlcore.inside.anatomy import Anatomy, Answer, Input, Layer, Links

MOST_BARS = 12  # of more classes the likeliest are shown
CLIP = 99.5  # percentile that is drawn in full colour: a single large number would make all others pale
KINDS = {1: "units", 2: "states", 3: "maps"}


def message(anatomy: Anatomy) -> dict:
    """What network_view.js draws."""
    found = anatomy.input
    return {
        "input": _input(found),
        "layers": [_layer(layer) for layer in anatomy.layers],
        "answer": _answer(anatomy.answer),
        "sample": anatomy.sample,
        "samples": anatomy.samples,
        "axes": anatomy.axes,
        "span": anatomy.span,
        "dots": _dots(anatomy),
        "told": " ".join([_verdict(anatomy.answer), *_left(anatomy)]),
        "label": describe(anatomy),
    }


def _left(anatomy: Anatomy) -> list[str]:
    left = anatomy.hidden - len(anatomy.layers)
    return [f"{left} layers more are between those that are drawn."] if left else []


def describe(anatomy: Anatomy) -> str:
    """The picture in words."""
    shape = " by ".join(map(str, anatomy.input.values.shape))
    layers = "; ".join(f"{layer.title}, {_size(layer)}".replace(" ↓", "") for layer in anatomy.layers) or "none"
    return f"The network. Input: {shape}. Layers between input and answer: {layers}. {_verdict(anatomy.answer)}"


def signed(values: np.ndarray, scale: float) -> str:
    """Numbers as bytes in base64: 128 + 127 · value / scale."""
    shares = np.nan_to_num(values / scale, nan=0, posinf=1, neginf=-1).clip(-1, 1)
    return base64.b64encode((np.rint(shares * 127) + 128).astype(np.uint8).tobytes()).decode()


def scale_of(values: np.ndarray) -> float:
    """What is drawn in full colour, at least the smallest that can be divided by."""
    finite = np.abs(values[np.isfinite(values)])
    return float(max(np.percentile(finite, CLIP), 1e-9)) if finite.size else 1.0


def number(value: float) -> str:
    """With a sensible number of digits, and a minus sign."""
    return f"{value:.3g}".replace("-", "−")


def pixels(picture: np.ndarray) -> str:
    """A picture (C, H, W) in 0..1 as bytes, colours last, in base64."""
    levels = np.rint(np.nan_to_num(picture).clip(0, 1) * 255).astype(np.uint8)
    return base64.b64encode(np.moveaxis(levels, 0, -1).tobytes()).decode()


def _input(found: Input) -> dict:
    values = found.values
    if values.ndim == 3:
        return {"kind": "picture", "shape": values.shape, "data": pixels(values)}
    kind = "units" if values.ndim == 1 else "states"
    names = found.names or tuple(f"number {place}" for place in range(1, values.shape[-1] + 1))
    last = values if values.ndim == 1 else values[-1]
    words = [f"{name}: {number(value)}" for name, value in zip(names, last, strict=True)]
    return {"kind": kind, "names": names, "words": words} | _coloured(values, found.plane)


def _layer(layer: Layer) -> dict:
    return {
        "name": layer.name,
        "title": layer.title,
        "size": " · ".join([_size(layer), *layer.then]),
        "kind": KINDS[layer.activations.ndim],
        "links": _links(layer.links),
    } | _coloured(layer.activations, layer.plane)


def _coloured(values: np.ndarray, plane: np.ndarray | None) -> dict:
    scale = scale_of(values)
    found = {"shape": values.shape, "scale": scale, "data": signed(values, scale)}
    if plane is None:
        return found
    # Each feature has a range of its own; the units of a layer share one.
    return found | {"plane": signed(plane, scale_of(plane)), "places": plane.shape[1:]}


def _size(layer: Layer) -> str:
    word = "maps" if layer.activations.ndim == 3 else "units"
    drawn = layer.activations.shape[-1 if layer.activations.ndim == 2 else 0]
    of = f"{layer.units}" if drawn == layer.units else f"{drawn} of {layer.units}"
    steps = f" · {len(layer.activations)} steps ↓" if layer.activations.ndim == 2 else ""
    return f"{of} {word}{steps}"


def _links(links: Links) -> list[list[int]]:
    """Source, target, and strength in 127ths of the strongest."""
    most = max(float(np.abs(links.strengths).max(initial=0)), 1e-9)
    rows = zip(links.sources, links.targets, np.rint(links.strengths / most * 127), strict=True)
    return [[int(part) for part in row] for row in rows]


def _answer(answer: Answer) -> dict:
    places = _bars(answer)
    slots = {place: slot for slot, place in enumerate(places)}
    kept = [[source, slots[target], share] for source, target, share in _links(answer.links) if target in slots]
    classes = answer.right is not None or answer.target is None
    found = {
        "name": answer.layer or None,
        "numbers": [min(place, answer.units - 1) for place in places],
        "names": [answer.names[place] for place in places],
        "shares": [round(float(np.nan_to_num(answer.values[place])), 4) if classes else 0 for place in places],
        "words": [_word(answer, place, classes) for place in places],
        "right": slots.get(answer.right, -1),
        "first": slots[int(np.argmax(answer.values))],
        "classes": classes,
        "left": len(answer.names) - len(places),
        "links": kept,
    }
    if answer.plane is None:
        return found
    # Of two classes the second's probability says it all; numbers are drawn in their own units.
    plane = answer.plane[-1 if len(answer.names) == 2 else int(np.argmax(answer.values))]
    if plane.ndim == 1:
        return found | {"curve": [float(f"{value:.4g}") for value in np.nan_to_num(plane)]}
    values, scale = (2 * plane - 1, 1.0) if classes else (plane, scale_of(plane))
    return found | {"plane": signed(values, scale), "places": plane.shape}


def _bars(answer: Answer) -> Sequence[int]:
    """The classes that are shown, in their own order."""
    if len(answer.names) <= MOST_BARS:
        return range(len(answer.names))
    strongest = {int(place) for place in np.argsort(-answer.values, kind="stable")[:MOST_BARS]}
    return sorted(strongest | ({answer.right} if answer.right is not None else set()))


def _word(answer: Answer, place: int, classes: bool) -> str:
    if classes:
        return f"{answer.values[place]:.0%}".replace("%", " %")
    target = "" if answer.target is None else f" (right: {number(answer.target[place])})"
    return number(answer.values[place]) + target


def _verdict(answer: Answer) -> str:
    """`It says 7 (98 %), and it is 7.`"""
    if answer.target is not None or not np.isfinite(answer.values).all():
        said = ", ".join(f"{name} = {number(value)}" for name, value in zip(answer.names, answer.values, strict=True))
        right = "" if answer.target is None else f"; right is {', '.join(map(number, answer.target))}"
        return f"It says {said}{right}."
    first = int(np.argmax(answer.values))
    said = f"It says {answer.names[first]} ({answer.values[first]:.0%})".replace("%", " %")
    if answer.right is None:
        return f"{said}."
    return f"{said}: right." if first == answer.right else f"{said}; right is {answer.names[answer.right]}."


def _dots(anatomy: Anatomy) -> list[list[float]]:
    """Training samples, features and then class or value, and the sample itself at the end."""
    if anatomy.dots is None:
        return []
    rows = np.column_stack([anatomy.dots, anatomy.marks])
    right = anatomy.answer.right if anatomy.answer.target is None else anatomy.answer.target[0]
    own = [*anatomy.input.values, -1 if right is None else right]
    return [[float(f"{value:.4g}") for value in row] for row in (*rows, own)]
