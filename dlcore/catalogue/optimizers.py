"""Optimizers: how gradients become steps.

In the formulas, w are the weights, g their gradient (weight decay λ w already added, except where it stands apart),
η the learning rate, t the step from 1. Full-batch gradient descent is any of them with batch size "all".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dlcore.later import nn, torch
from dlcore.settings import Problem, Settings, Slider

LR = Annotated[float, Slider(1e-5, 1, log=True)]
DECAY = Annotated[float, Slider(0, 0.1, log=True)]
MEMORY = Annotated[float, Slider(0, 0.999, step=0.001)]
EPSILON = Annotated[float, Slider(1e-12, 1e-2, log=True)]


def rate(default: float) -> float:
    text = "How far one step goes. Too small and nothing moves, too large and the loss jumps or explodes."
    return Field(default, gt=0, le=10, title="Learning rate", description=text)


def decay(default: float = 0.0) -> float:
    text = "Pulls every weight towards zero a little at each step, against overfitting."
    return Field(default, ge=0, le=1, title="Weight decay", description=text)


def memory(default: float, title: str, text: str) -> float:
    return Field(default, ge=0, lt=1, title=title, description=text)


def epsilon(default: float) -> float:
    return Field(default, gt=0, le=1, title="Epsilon", description="Keeps the division away from zero.")


class Optimizer(Settings):
    """A method of gradient descent."""

    formula: ClassVar[str]  # LaTeX
    single: ClassVar[tuple[str, ...]] = ("step",)  # what PyTorch keeps of it once for all the numbers of a parameter
    lr: float

    @property
    def kept(self) -> int:
        """How many numbers it keeps for each weight from step to step."""
        return 2

    def problems(self) -> list[Problem]:
        return []

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        raise NotImplementedError

    def steer(self, optimizer: torch.optim.Optimizer) -> None:
        """Make an optimizer of this kind go on with these settings; its memory of the gradients stays."""
        settings = self.build([torch.zeros(1)]).param_groups[0]
        del settings["params"]
        for group in optimizer.param_groups:
            group.update(settings)


class SGD(Optimizer):
    """Steps down the slope that keep some of their speed (momentum): simple, and hard to beat when well tuned."""

    title = "SGD"
    formula = (
        r"v \leftarrow \mu v + g \qquad w \leftarrow w - \eta\, v \qquad "
        r"\text{(Nesterov: } w \leftarrow w - \eta\, (g + \mu v)\text{)}"
    )
    kind: Literal["sgd"] = "sgd"
    lr: LR = rate(0.01)
    momentum: MEMORY = memory(0.9, "Momentum", "Share of the last step that is kept: speed gathers along a slope.")
    nesterov: bool = Field(False, title="Nesterov", description="Look ahead along the momentum before stepping.")
    weight_decay: DECAY = decay()

    @property
    def kept(self):
        return 1 if self.momentum else 0

    def problems(self):
        if self.nesterov and self.momentum == 0:
            text = "optimizer.nesterov is true, which needs momentum, but optimizer.momentum is 0; set it to 0.9."
            return [Problem("optimizer.nesterov", text, {"optimizer.momentum": 0.9})]
        return []

    def build(self, parameters):
        return torch.optim.SGD(
            parameters,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=True,
        )

    def steer(self, optimizer):
        super().steer(optimizer)
        known = [one for group in optimizer.param_groups for one in group["params"]]
        begun = any(optimizer.state[one].get("momentum_buffer") is not None for one in known if one in optimizer.state)
        for parameter in known if self.momentum and begun else ():
            if optimizer.state[parameter].get("momentum_buffer") is None:  # fused steps take all or none
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class _Moments(Optimizer):
    """What Adam and its descendants share: running means of the gradient and of its square."""

    lr: LR = rate(1e-3)
    beta1: MEMORY = memory(0.9, "Beta 1", "Memory of the gradient's running mean.")
    beta2: MEMORY = memory(0.999, "Beta 2", "Memory of the running mean of the gradient's square.")
    eps: EPSILON = epsilon(1e-8)
    weight_decay: DECAY = decay()

    def _common(self) -> dict:
        betas = (self.beta1, self.beta2)
        return {"lr": self.lr, "betas": betas, "eps": self.eps, "weight_decay": self.weight_decay}


class Adam(_Moments):
    """Every weight gets a step size of its own, from the running size of its gradient. Works nearly everywhere."""

    title = "Adam"
    formula = (
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad "
        r"w \leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}"
    )
    kind: Literal["adam"] = "adam"

    def build(self, parameters):
        return torch.optim.Adam(parameters, **self._common(), fused=True)


class AdamW(_Moments):
    """Adam with weight decay done apart from the gradient, as it should be; the usual choice for large networks."""

    title = "AdamW"
    formula = (
        r"w \leftarrow (1 - \eta \lambda) w \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad "
        r"v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad "
        r"w \leftarrow w - \eta\, \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}"
    )
    kind: Literal["adamw"] = "adamw"
    weight_decay: DECAY = decay(0.01)

    def build(self, parameters):
        return torch.optim.AdamW(parameters, **self._common(), fused=True)


class NAdam(_Moments):
    """Adam with Nesterov's look ahead."""

    title = "NAdam"
    formula = (
        r"\mu_t = \beta_1 \left(1 - \tfrac{1}{2}\, 0.96^{0.004 t}\right) \qquad "
        r"m \leftarrow \beta_1 m + (1 - \beta_1) g \qquad v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad "
        r"w \leftarrow w - \frac{\eta}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} "
        r"\left(\frac{(1 - \mu_t)\, g}{1 - \prod_{i \le t} \mu_i} + "
        r"\frac{\mu_{t+1}\, m}{1 - \prod_{i \le t+1} \mu_i}\right)"
    )
    single = ("step", "mu_product")
    kind: Literal["nadam"] = "nadam"
    lr: LR = rate(2e-3)

    def build(self, parameters):
        return torch.optim.NAdam(parameters, **self._common())


class RAdam(_Moments):
    """Adam that starts as plain momentum until its second moment can be trusted: needs no warm-up."""

    title = "RAdam"
    formula = (
        r"\rho_\infty = \tfrac{2}{1 - \beta_2} - 1 \qquad "
        r"\rho_t = \rho_\infty - \tfrac{2 t \beta_2^t}{1 - \beta_2^t} \qquad "
        r"\hat m = \tfrac{m}{1 - \beta_1^t} \qquad w \leftarrow w - \eta\, \hat m \begin{cases} "
        r"\sqrt{\tfrac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}}\, "
        r"\tfrac{\sqrt{1 - \beta_2^t}}{\sqrt{v} + \epsilon} & \rho_t > 5 \\ 1 & \text{else} \end{cases}"
        r"\qquad m, v \text{ as in Adam}"
    )
    kind: Literal["radam"] = "radam"

    def build(self, parameters):
        return torch.optim.RAdam(parameters, **self._common())


class Adagrad(Optimizer):
    """Steps shrink with all the gradient seen so far: good for rare features, slow in the long run."""

    title = "Adagrad"
    formula = r"s \leftarrow s + g^2 \qquad w \leftarrow w - \eta\, \frac{g}{\sqrt{s} + \epsilon}"
    kind: Literal["adagrad"] = "adagrad"
    lr: LR = rate(0.01)
    eps: EPSILON = epsilon(1e-10)
    weight_decay: DECAY = decay()

    @property
    def kept(self):
        return 1

    def build(self, parameters):
        return torch.optim.Adagrad(parameters, lr=self.lr, eps=self.eps, weight_decay=self.weight_decay)


class RMSprop(Optimizer):
    """Steps divided by the recent size of the gradient: Adagrad that forgets."""

    title = "RMSprop"
    formula = (
        r"s \leftarrow \alpha s + (1 - \alpha) g^2 \qquad b \leftarrow \mu b + \frac{g}{\sqrt{s} + \epsilon} \qquad "
        r"w \leftarrow w - \eta\, b"
    )
    kind: Literal["rmsprop"] = "rmsprop"
    lr: LR = rate(1e-3)
    alpha: MEMORY = memory(0.99, "Alpha", "Memory of the running mean of the gradient's square.")
    momentum: MEMORY = memory(0.0, "Momentum", "Share of the last step that is kept: speed gathers along a slope.")
    eps: EPSILON = epsilon(1e-8)
    weight_decay: DECAY = decay()

    @property
    def kept(self):
        return 2 if self.momentum else 1

    def build(self, parameters):
        return torch.optim.RMSprop(parameters, **self.model_dump(exclude={"kind"}))

    def steer(self, optimizer):
        super().steer(optimizer)
        for parameter, state in optimizer.state.items():  # PyTorch makes the buffer at the first step or never
            if self.momentum and "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)


class Adadelta(Optimizer):
    """Sets its own step size from the size of its recent steps; the learning rate only scales it."""

    title = "Adadelta"
    formula = (
        r"s \leftarrow \rho s + (1 - \rho) g^2 \qquad d = \frac{\sqrt{u + \epsilon}}{\sqrt{s + \epsilon}}\, g \qquad "
        r"u \leftarrow \rho u + (1 - \rho) d^2 \qquad w \leftarrow w - \eta\, d"
    )
    kind: Literal["adadelta"] = "adadelta"
    lr: LR = rate(1.0)
    rho: MEMORY = memory(0.9, "Rho", "Memory of both running means.")
    eps: EPSILON = epsilon(1e-6)
    weight_decay: DECAY = decay()

    def build(self, parameters):
        return torch.optim.Adadelta(parameters, **self.model_dump(exclude={"kind"}))
