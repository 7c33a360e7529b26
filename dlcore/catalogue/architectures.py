"""Architectures: networks whose shapes follow from the data; `layers` lists what they are made of.

A network takes (N, *inputs.shape) and gives (N, *outputs); `outputs` is the loss's to say.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from dlcore.catalogue.activations import Activation, ReLU
from dlcore.catalogue.datasets import Data, import_torchvision
from dlcore.catalogue.spec import Features, Inputs, Picture, Series, Tokens
from dlcore.later import nn, torch
from dlcore.settings import Problem, Settings, Slider, choices, one_of

Width = Annotated[int, Field(ge=1, le=10000)]
DROPOUT = Annotated[float, Slider(0, 0.8)]


def activation(default: Activation) -> Activation:
    text = "The bend between layers; without one, a deep network is only a linear one."
    return Field(default, title="Activation", description=text)


def dropout(default: float) -> float:
    text = "Share of units silenced at random in every training step, so that none can be relied on."
    return Field(default, ge=0, lt=1, title="Dropout", description=text)


class Architecture(Settings):
    """A kind of network."""

    reads: ClassVar[tuple[type[Inputs], ...]] = (Features, Picture, Series)
    smallest: ClassVar[int] = 1  # side in pixels

    def problems(self, data: Data, batch_size: int) -> list[Problem]:
        inputs, text, fix = data.spec().inputs, "", {"model.kind": "mlp"}
        if not isinstance(inputs, self.reads):
            others = [kind for kind, cls in choices(Architecture).items() if isinstance(inputs, cls.reads)]
            fix = {"model.kind": "mlp" if "mlp" in others else others[0]} if others else {}
            pictures = ", or a data set of pictures such as mnist-5k" if Picture in self.reads else ""
            text = (
                f"model is {self.kind}, which needs {_or([kind.noun for kind in self.reads])}, but {data.kind} has "
                f"{inputs.noun}; choose {_or(others)}{pictures}."
            )
        elif isinstance(inputs, Picture) and min(inputs.height, inputs.width) < self.smallest:
            text = (
                f"model is {self.kind}, which needs pictures of at least {self.smallest} pixels a side, but those "
                f"of {data.kind} have {min(inputs.height, inputs.width)}; choose mlp."
            )
        return [Problem("model.kind", text, fix)] if text else []

    def build(self, inputs: Inputs, outputs: tuple[int, ...]) -> nn.Module:
        """A network for a sample's inputs; `outputs` is the shape of what it gives.

        That is (K,), or (length, K) for an answer at each place.
        """
        raise NotImplementedError

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """A network's parameters by the rate at which they learn, as optimizers take them: `params`, and `rate`, times
        the learning rate. The first group's is 1, so that its learning rate is the one that is told.
        """
        return [{"params": list(model.parameters()), "rate": 1.0}]

    def ready(self, model: nn.Module) -> list[nn.Module]:
        """Parts of a network that `build` gave weights which were learned before: they are not drawn anew."""
        return []


class Linear(Architecture):
    """One layer, no bend: linear or logistic regression."""

    title = "Linear"
    kind: Literal["linear"] = "linear"

    def build(self, inputs, outputs):
        return nn.Sequential(*_flatten(inputs.shape), nn.Linear(math.prod(inputs.shape), *outputs))


class MLP(Architecture):
    """A multi-layer perceptron: every unit sees all units of the layer before."""

    title = "MLP"
    kind: Literal["mlp"] = "mlp"
    widths: tuple[Width, ...] = Field(
        (128,), strict=False, min_length=1, max_length=20, title="Widths", description="Units in each hidden layer."
    )
    activation: one_of(Activation) = activation(ReLU())
    dropout: DROPOUT = dropout(0.0)
    batch_norm: bool = Field(
        False, title="Batch norm", description="Rescale every unit over the batch; lets deep networks train faster."
    )

    def problems(self, data, batch_size):
        train = data.train_size or 0
        if self.batch_norm and _leaves_one(train, batch_size):
            nearest = next(size for size in itertools.count(batch_size + 1) if not _leaves_one(train, size))
            left = "batches of one sample" if batch_size == 1 else "a last batch of one sample"
            text = (
                f"model.batch_norm is true, but batch_size {batch_size} leaves {left}, over which nothing can be "
                f"normalised; set batch_size to {nearest}, or batch_norm to false."
            )
            return [Problem("batch_size", text, {"batch_size": nearest})]
        return super().problems(data, batch_size)

    def build(self, inputs, outputs):
        layers, wide = _flatten(inputs.shape), math.prod(inputs.shape)
        for width in self.widths:
            layers += [nn.Linear(wide, width), *([nn.BatchNorm1d(width)] if self.batch_norm else [])]
            layers += [self.activation.build(), *_dropout(self.dropout)]
            wide = width
        return nn.Sequential(*layers, nn.Linear(wide, *outputs))


class CNN(Architecture):
    """Convolutions with pooling, then one dense layer: looks for small patterns anywhere in a picture."""

    title = "Convolutional"
    reads = (Picture,)
    smallest = 4
    kind: Literal["cnn"] = "cnn"
    channels: tuple[Width, ...] = Field(
        (32, 64),
        strict=False,
        min_length=1,
        max_length=6,
        title="Channels",
        description="Patterns that each 3 by 3 convolution looks for.",
    )
    padding: bool = Field(
        True,
        title="Padding",
        description="Put a frame around the picture, so that a convolution keeps its size; without, it loses 2 pixels "
        "a side.",
    )
    pooling: Literal["each", "last"] = Field(
        "each", title="Pooling", description="Halve the picture's side after each convolution, or once after the last."
    )
    channel_dropout: DROPOUT = Field(
        0.0,
        ge=0,
        lt=1,
        title="Channel dropout",
        description="Share of the last convolution's patterns silenced at random in every training step, each over "
        "the whole picture.",
    )
    dense: int = Field(128, ge=1, le=10000, title="Dense", description="Units in the layer before the output.")
    activation: one_of(Activation) = activation(ReLU())
    dropout: DROPOUT = dropout(0.5)

    def problems(self, data, batch_size):
        found = super().problems(data, batch_size)
        if found:
            return found
        picture, count = data.spec().inputs, len(self.channels)
        side = min(picture.height, picture.width)
        if self._side(side, count) < 1:
            most = next(fewer for fewer in reversed(range(count)) if self._side(side, fewer) >= 1)
            does = [*([] if self.padding else ["takes 2 pixels off"]), *(["halves"] if self.pooling == "each" else [])]
            text = (
                f"model.channels has {count} convolutions, each of which {' and '.join(does)} the picture, but "
                f"{data.kind} has pictures of {side} pixels a side; use at most {most}."
            )
            fix = {"model.channels": list(self.channels[:most])} if most else {"model.kind": "mlp"}
            found.append(Problem("model.channels", text, fix))
        return found

    def build(self, inputs, outputs):
        layers, deep = [], inputs.channels
        for number, channels in enumerate(self.channels, 1):
            layers += [nn.Conv2d(deep, channels, 3, padding=1 if self.padding else 0), self.activation.build()]
            layers += [nn.MaxPool2d(2)] if self.pooling == "each" or number == len(self.channels) else []
            deep = channels
        height, width = (self._side(side, len(self.channels)) for side in (inputs.height, inputs.width))
        # One layer, so that the layers after it, and with them the weights in old files, keep their numbers.
        layers.append(nn.Sequential(nn.Dropout2d(self.channel_dropout), nn.Flatten()))
        layers += [nn.Linear(deep * height * width, self.dense), self.activation.build()]
        return nn.Sequential(*layers, *_dropout(self.dropout), nn.Linear(self.dense, *outputs))

    def _side(self, side: int, convolutions: int) -> int:
        """What a network of so many convolutions leaves of a picture's side; below 1 where it would not do."""
        for number in range(1, convolutions + 1):
            side -= 0 if self.padding else 2
            side //= 2 if self.pooling == "each" or number == convolutions else 1
        return side


class LeNet(Architecture):
    """LeNet-5 (6-16-120-84), which read cheques in the nineties; with max pooling, as it is built today."""

    title = "LeNet"
    reads = (Picture,)
    smallest = 16
    kind: Literal["lenet"] = "lenet"
    activation: one_of(Activation) = activation(ReLU())

    def build(self, inputs, outputs):
        act = self.activation.build
        height, width = (((side - 4) // 2 - 4) // 2 for side in (inputs.height, inputs.width))
        return nn.Sequential(
            *(nn.Conv2d(inputs.channels, 6, 5), act(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), act(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(16 * height * width, 120), act()),
            *(nn.Linear(120, 84), act(), nn.Linear(84, *outputs)),
        )


class Recurrent(Architecture):
    """Reads one row of a picture, step of a series or token after the other, and answers after the last."""

    title = "Recurrent"
    reads = (Picture, Series, Tokens)
    kind: Literal["recurrent"] = "recurrent"
    cell: Literal["rnn", "lstm", "gru"] = Field(
        "lstm", title="Cell", description="How memory is kept: plainly (rnn), or behind gates (lstm, gru)."
    )
    hidden: int = Field(128, ge=1, le=4096, title="Hidden", description="Size of the memory.")
    layers: int = Field(1, ge=1, le=8, title="Layers", description="Recurrent layers on top of each other.")
    dropout: DROPOUT = dropout(0.0)

    def build(self, inputs, outputs):
        from dlcore.catalogue.networks import RowReader

        return RowReader(self.cell, inputs, self.hidden, self.layers, self.dropout, outputs)


class ResNet18(Architecture):
    """torchvision's ResNet-18 with a stem for small pictures: 11 million weights, slow on a CPU."""

    title = "ResNet-18"
    reads = (Picture,)
    smallest = 8
    kind: Literal["resnet18"] = "resnet18"

    def build(self, inputs, outputs):
        network = import_torchvision("models").resnet18(num_classes=outputs[0])
        # 7x7 with stride 2 would blur 28 pixels.
        network.conv1 = nn.Conv2d(inputs.channels, 64, 3, padding=1, bias=False)
        network.maxpool = nn.Identity()
        return network


@dataclass(frozen=True)
class Layer:
    """A line of the table that shows a network."""

    name: str
    output: tuple[int, ...]  # of one sample
    parameters: int


def skeleton(architecture: Architecture, inputs: Inputs, outputs: tuple[int, ...]) -> nn.Module:
    """A network without weights: nothing is allocated and no random number is drawn, so any thread may build one.

    Weights are put in by `load_state_dict(..., assign=True)`.
    """
    with torch.device("meta"):
        return architecture.build(inputs, outputs)


def blank(inputs: Inputs, samples: int) -> torch.Tensor:
    """Samples without values, (samples, *shape), for a network without weights."""
    return torch.empty(samples, *inputs.shape, dtype=getattr(torch, inputs.dtype), device="meta")


def size(architecture: Architecture, inputs: Inputs, outputs: tuple[int, ...]) -> int:
    """How many parameters a network has."""
    return sum(parameter.numel() for parameter in skeleton(architecture, inputs, outputs).parameters())


def layers(architecture: Architecture, inputs: Inputs, outputs: tuple[int, ...]) -> list[Layer]:
    """What a network is made of, in the order in which data passes; nothing is computed.

    The first call imports PyTorch's compiler, which takes seconds, as a process's first optimizer does.
    """
    found: list[Layer] = []

    def note(module, _, output):
        output = output[0] if isinstance(output, tuple) else output
        size = sum(parameter.numel() for parameter in module.parameters())
        found.append(Layer(type(module).__name__, tuple(output.shape[1:]), size))

    model = skeleton(architecture, inputs, outputs).eval()
    for module in model.modules():
        silent = isinstance(module, nn.Dropout | nn.Dropout2d) and module.p == 0
        if not list(module.children()) and not silent:
            module.register_forward_hook(note)
    with torch.no_grad():
        model(blank(inputs, 1))
    return found


def _leaves_one(samples: int, batch_size: int) -> bool:
    """Whether a batch of an epoch holds a single sample; batch size 0 is all."""
    return batch_size == 1 or (batch_size > 1 and samples % batch_size == 1)


def _or(names: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _flatten(shape: tuple[int, ...]) -> list[nn.Module]:
    return [nn.Flatten()] if len(shape) > 1 else []


def _dropout(share: float) -> list[nn.Module]:
    return [nn.Dropout(share)]  # at 0 too: it may be raised while the network learns
