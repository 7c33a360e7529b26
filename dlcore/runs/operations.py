"""Operations: what surgery does to a network between two steps, as changes of a run's history.

    surgery.silence.dense.3 = true     unit 3 of the layer `dense`, counted from 1
    surgery.freeze.conv-1 = true       the layer learns no more, until it is false
    surgery.noise.conv-1 = 0.1         noise of a tenth of its weights' own deviation

One that a history has after so many steps is done right before the next one. So a checkpoint is never between the two,
and whoever goes on from it knows what is in its weights: all that came at an earlier step.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.layer_names import learning
from dlcore.history import Change
from dlcore.later import nn
from dlcore.recipe import Recipe
from dlcore.settings import Problem, did_you_mean, show

Kind = Literal["silence", "freeze", "noise"]
SURGERY = "surgery."
LOUDEST = 10.0  # noise, in deviations of the weights


class Operation(NamedTuple):
    """What is done to a layer, or to one of its units."""

    kind: Kind
    layer: str  # its name, with a hyphen for each space
    unit: int = 0  # from 1; 0 for the whole layer

    @property
    def setting(self) -> str:
        return ".".join([f"{SURGERY}{self.kind}", self.layer, *([str(self.unit)] if self.unit else [])])

    def text(self, value: bool | float) -> str:
        """`unit 3 of dense silenced`, `conv 1 frozen`."""
        layer = spoken(self.layer)
        match self.kind:
            case "silence":
                return f"unit {self.unit} of {layer} silenced"
            case "freeze":
                return f"{layer} frozen" if value else f"{layer} learns again"
            case "noise":
                return f"noise of {value:g} in {layer}"


class Part(NamedTuple):
    """A layer that can be operated on."""

    path: str  # of its module in the network
    module: nn.Module
    units: int  # 0 where none stands for itself


def is_operation(setting: str) -> bool:
    return setting.startswith(SURGERY)


def read(setting: str) -> Operation | None:
    """What a setting names; None when that is no operation, whatever the network."""
    kind, _, rest = setting.removeprefix(SURGERY).partition(".")
    if not is_operation(setting) or kind not in get_args(Kind):
        return None
    if kind != "silence":
        return Operation(kind, rest) if rest and "." not in rest else None
    layer, _, unit = rest.partition(".")
    whole = unit.isascii() and unit.isdigit() and 1 <= len(unit) <= 9
    return Operation(kind, layer, int(unit)) if layer and whole and unit[0] != "0" else None


def spoken(layer: str) -> str:
    """What a person calls a layer that a setting names."""
    return layer.replace("-", " ")


def parts_within(network: nn.Module) -> dict[str, Part]:
    """The layers of a network, by the names that settings call them."""
    found = learning(network).items()
    return {name.replace(" ", "-"): Part(path, module, _units(module)) for name, (path, module) in found}


def parts(recipe: Recipe) -> dict[str, Part]:
    """The same of a recipe's network, without weights."""
    return parts_within(skeleton(recipe.model, recipe.inputs, recipe.outputs))


def _units(module: nn.Module) -> int:
    match module:
        case nn.Linear():
            return module.out_features
        case nn.modules.conv._ConvNd():
            return module.out_channels
        case nn.RNNBase():
            return module.hidden_size
    return 0


def problems(recipe: Recipe, changes: Mapping[str, Any]) -> list[Problem]:
    """What keeps a recipe's network from being operated on like this; other changes are no concern of it."""
    asked = {setting: value for setting, value in changes.items() if is_operation(setting)}
    if not asked:
        return []
    known = parts(recipe)
    texts = {setting: _problem(known, setting, value) for setting, value in asked.items()}
    return [Problem(setting, text) for setting, text in texts.items() if text]


def _problem(known: Mapping[str, Part], setting: str, value: Any) -> str:
    if text := plain_problem(setting, value):
        return text
    operation = read(setting)
    if operation.layer not in known:
        nearest = did_you_mean(operation.layer, known) or "."
        told = f"{setting} names the layer {show(operation.layer)}, which this network has not"
        return f"{told}; it has {', '.join(known)}{nearest}"
    units = known[operation.layer].units
    if operation.unit and not units:
        others = ", ".join(layer for layer, part in known.items() if part.units)
        return f"{setting} names the layer {operation.layer}, which has no units of its own; choose one of {others}."
    if operation.unit > units > 0:
        return f"{setting} names unit {operation.unit}, but {operation.layer} has {units}; the nearest is {units}."
    return ""


def plain_problem(setting: str, value: Any) -> str:
    """What is wrong with an operation whatever the network; empty when nothing is."""
    operation = read(setting)
    if operation is None:
        forms = "surgery.silence.LAYER.UNIT, surgery.freeze.LAYER and surgery.noise.LAYER"
        return f"{show(setting)} is no operation; there are {forms}."
    number = type(value) in (int, float) and math.isfinite(value)
    takes = {
        "silence": "" if value is True else "true; what is silenced learns again by itself, or not",
        "freeze": "" if type(value) is bool else "true or false",
        "noise": "" if number and 0 < value <= LOUDEST else f"a number above 0 and at most {LOUDEST:g}",
    }[operation.kind]
    return f"{setting} is {show(value)}; it takes {takes}." if takes else ""


def frozen(changes: Iterable[Change]) -> list[str]:
    """The layers that changes leave frozen, in their order."""
    last: dict[str, bool] = {}
    for change in changes:
        operation = read(change.setting)
        if operation and operation.kind == "freeze":
            last[operation.layer] = change.value
    return [layer for layer, value in last.items() if value]
