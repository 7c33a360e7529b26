"""Activations: the bend between two layers. `x` in a formula is one number; all act element by element."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dlcore.later import nn
from dlcore.settings import Settings, Slider


class Activation(Settings):
    """What stands between two layers."""

    formula: ClassVar[str]  # LaTeX

    def build(self) -> nn.Module:
        raise NotImplementedError


class Identity(Activation):
    """No bend at all: a deep network then is only a linear one."""

    title = "Identity"
    formula = r"f(x) = x"
    kind: Literal["identity"] = "identity"

    def build(self):
        return nn.Identity()


class Sigmoid(Activation):
    """Squeezes into 0 to 1; flat at both ends, so deep networks learn slowly with it."""

    title = "Sigmoid"
    formula = r"f(x) = \frac{1}{1 + e^{-x}}"
    kind: Literal["sigmoid"] = "sigmoid"

    def build(self):
        return nn.Sigmoid()


class Tanh(Activation):
    """Squeezes into -1 to 1 around zero; smoother to train than the sigmoid."""

    title = "Tanh"
    formula = r"f(x) = \frac{e^{x} - e^{-x}}{e^{x} + e^{-x}}"
    kind: Literal["tanh"] = "tanh"

    def build(self):
        return nn.Tanh()


class ReLU(Activation):
    """Passes what is positive and cuts the rest: fast, and the usual first choice."""

    title = "ReLU"
    formula = r"f(x) = \max(0, x)"
    kind: Literal["relu"] = "relu"

    def build(self):
        return nn.ReLU()


class LeakyReLU(Activation):
    """Like ReLU, but lets a little of the negative side through, so that no unit can die."""

    title = "Leaky ReLU"
    formula = r"f(x) = \max(0, x) + \text{slope} \cdot \min(0, x)"
    kind: Literal["leaky-relu"] = "leaky-relu"
    slope: Annotated[float, Slider(0, 0.5)] = Field(
        0.01, ge=0, le=1, title="Slope", description="How much of a negative input passes."
    )

    def build(self):
        return nn.LeakyReLU(self.slope)


class ELU(Activation):
    """Smooth below zero and bounded there, which keeps the mean of a layer near zero."""

    title = "ELU"
    formula = r"f(x) = \max(0, x) + \min\left(0, \alpha (e^{x} - 1)\right)"
    kind: Literal["elu"] = "elu"
    alpha: Annotated[float, Slider(0.1, 2)] = Field(
        1.0, gt=0, le=10, title="Alpha", description="The value that large negative inputs approach is minus alpha."
    )

    def build(self):
        return nn.ELU(self.alpha)


class GELU(Activation):
    """A smooth ReLU, weighted by the normal distribution; the usual choice in transformers."""

    title = "GELU"
    formula = r"f(x) = \frac{x}{2} \left(1 + \operatorname{erf}\frac{x}{\sqrt{2}}\right)"
    kind: Literal["gelu"] = "gelu"

    def build(self):
        return nn.GELU()


class SiLU(Activation):
    """A smooth ReLU, weighted by its own sigmoid; also called swish."""

    title = "SiLU"
    formula = r"f(x) = \frac{x}{1 + e^{-x}}"
    kind: Literal["silu"] = "silu"

    def build(self):
        return nn.SiLU()


class Softplus(Activation):
    """A ReLU with a rounded corner: always positive, never quite flat."""

    title = "Softplus"
    formula = r"f(x) = \frac{1}{\beta} \ln\left(1 + e^{\beta x}\right)"
    kind: Literal["softplus"] = "softplus"
    beta: Annotated[float, Slider(0.5, 5)] = Field(
        1.0, gt=0, le=100, title="Beta", description="How sharp the corner is."
    )

    def build(self):
        return nn.Softplus(self.beta)
