"""Losses: the one number that training makes small.

A loss decides how many outputs the network has, and how outputs become probabilities. In the formulas K classes have
logits z, the true class is y, and q is its one-hot vector; for regression z is the output and y the target. A batch's
loss is the mean over its samples; where a sample has an answer at each place, over those of all of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from dlcore.catalogue.datasets import Data
from dlcore.catalogue.tasks import NextTokenPrediction, Regression, Task, task_of
from dlcore.later import F, torch
from dlcore.settings import Problem, Settings, Slider


class Loss(Settings):
    """A measure of how wrong a network is."""

    formula: ClassVar[str]  # LaTeX
    at_each_place: ClassVar[bool] = False  # whether it compares several answers a sample

    def problems(self, data: Data) -> list[Problem]:
        if self.at_each_place or not isinstance(task_of(data.spec()), NextTokenPrediction):
            return []
        text = (
            f"loss is {self.kind}, which compares one answer a sample, but {data.kind} has the next token as target at "
            "each place; choose cross-entropy."
        )
        return [Problem("loss.kind", text, {"loss.kind": "cross-entropy"})]

    def outputs(self, task: Task) -> tuple[int, ...]:
        """The shape of what a network gives a sample."""
        return task.outputs

    def of(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The batch's loss, a scalar. `outputs` (N, K); `targets` (N,) class numbers, or (N, K) numbers.

        At each place: `outputs` (N, length, K) and `targets` (N, length).
        """
        raise NotImplementedError

    def probabilities(self, outputs: torch.Tensor) -> torch.Tensor:
        """Outputs (…, K) as class probabilities (…, classes) that sum to one."""
        raise NotImplementedError


class _ClassificationLoss(Loss):
    def problems(self, data):
        if not isinstance(task_of(data.spec()), Regression):
            return super().problems(data)
        fix = "choose mse, mae or huber"
        text = f"loss is {self.kind}, which compares classes, but {data.kind} has numbers as targets; {fix}."
        return [Problem("loss.kind", text, {"loss.kind": "mse"})]


class CrossEntropy(_ClassificationLoss):
    """How surprised the network is by the right class; the usual choice for classes."""

    title = "Cross-entropy"
    formula = (
        r"L = -\sum_{k=1}^{K} \left((1 - s)\, q_k + \frac{s}{K}\right) \ln \frac{e^{z_k}}{\sum_j e^{z_j}}"
        r"\qquad s = \text{label smoothing}"
    )
    at_each_place = True
    kind: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: Annotated[float, Slider(0, 0.3)] = Field(
        0.0,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Share of the target spread over all classes, so that the network is never asked to be certain.",
    )

    def of(self, outputs, targets):
        outputs, targets = outputs.flatten(0, -2), targets.flatten()  # an answer a row
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def probabilities(self, outputs):
        return outputs.softmax(-1)


class BinaryCrossEntropy(_ClassificationLoss):
    """One yes-or-no question a class, on logits; two classes need a single output."""

    title = "Binary cross-entropy"
    formula = r"L = -\frac{1}{K} \sum_{k=1}^{K} \left(q_k \ln \sigma(z_k) + (1 - q_k) \ln (1 - \sigma(z_k))\right)"
    kind: Literal["binary-cross-entropy"] = "binary-cross-entropy"

    def outputs(self, task):
        return (1,) if len(task.classes) == 2 else super().outputs(task)

    def of(self, outputs, targets):
        return F.binary_cross_entropy_with_logits(outputs, _like(outputs, targets))

    def probabilities(self, outputs):
        """With one output, (1 - p, p); with more, each question's answer over the sum, as one-vs-rest does."""
        answers = outputs.sigmoid()
        if answers.shape[1] == 1:
            return torch.cat([1 - answers, answers], 1)
        return F.logsigmoid(outputs).softmax(1)  # the same as dividing, also where every answer underflows


class _Distance(Loss):
    """A distance between output and target; against one-hot targets when the task is classes."""

    def probabilities(self, outputs):
        """Outputs trained on one-hot targets estimate probabilities, but are not held to 0..1: the nearest that are.

        The largest output stays the likeliest class. Algorithm 1 of arXiv:1602.02068.
        """
        outputs = outputs - outputs.amax(1, keepdim=True)  # changes nothing but the rounding of huge outputs
        sums = outputs.sort(1, descending=True).values.cumsum(1)
        cut = ((sums - 1) / torch.arange(1, outputs.shape[1] + 1, device=outputs.device)).amax(1, keepdim=True)
        return (outputs - cut).clamp(min=0)


class MeanSquaredError(_Distance):
    """Squared distance: large errors count most. The usual choice for numbers."""

    title = "Mean squared error"
    formula = r"L = \frac{1}{K} \sum_{k=1}^{K} (z_k - q_k)^2"
    kind: Literal["mse"] = "mse"

    def of(self, outputs, targets):
        return F.mse_loss(outputs, _like(outputs, targets))


class MeanAbsoluteError(_Distance):
    """Plain distance: every error counts by its size, so outliers pull less."""

    title = "Mean absolute error"
    formula = r"L = \frac{1}{K} \sum_{k=1}^{K} |z_k - q_k|"
    kind: Literal["mae"] = "mae"

    def of(self, outputs, targets):
        return F.l1_loss(outputs, _like(outputs, targets))


class Huber(_Distance):
    """Squared for small errors, straight for large ones: steady against outliers."""

    title = "Huber"
    formula = (
        r"L = \frac{1}{K} \sum_{k=1}^{K} h(z_k - q_k) \qquad "
        r"h(e) = \begin{cases} \frac{1}{2} e^2 & |e| \le \delta \\ "
        r"\delta \left(|e| - \frac{1}{2}\delta\right) & |e| > \delta \end{cases}"
    )
    kind: Literal["huber"] = "huber"
    delta: Annotated[float, Slider(0.1, 10, log=True)] = Field(
        1.0, gt=0, le=1000, title="Delta", description="The error at which the curve turns from squared to straight."
    )

    def of(self, outputs, targets):
        return F.huber_loss(outputs, _like(outputs, targets), delta=self.delta)


def _like(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Targets in the shape of the outputs: numbers stay, class numbers become one-hot (or 0 and 1 for one output)."""
    if targets.is_floating_point():
        return targets
    if outputs.shape[1] == 1:
        return targets.unsqueeze(1).to(outputs.dtype)
    return F.one_hot(targets, outputs.shape[1]).to(outputs.dtype)
