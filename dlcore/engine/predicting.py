"""From raw input to probabilities: normalise, network, answer.

Whoever wants to know what a network makes of an input asks this one module, so that what a page shows, what a drawing
is told and what leaves the project cannot differ.
"""

import torch
from torch import Tensor, nn

from dlcore.catalogue.losses import Loss
from dlcore.catalogue.tasks import Task
from dlcore.engine.training import Run


class Predictor(nn.Module):
    """A network with what stands before and behind it."""

    def __init__(self, model: nn.Module, mean: Tensor, std: Tensor, task: Task, loss: Loss):
        """`mean` and `std` broadcast to an input; `task` and `loss` say what the network's outputs mean."""
        super().__init__()
        self.model, self.task, self.loss = model, task, loss
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, raw: Tensor) -> Tensor:
        """Raw inputs (N, *shape) to probabilities (N, classes) or (N, length, vocabulary), or values (N, numbers)."""
        inputs = (raw - self.mean) / self.std if raw.is_floating_point() else raw  # tokens are names, not amounts
        return self.task.predict(self.model(inputs).float(), self.loss)


def predictor(run: Run) -> Predictor:
    """A run's own network, in eval mode."""
    run.model.eval()
    return Predictor(run.model, run.data.mean, run.data.std, run.recipe.task, run.recipe.loss).eval()


def predict(run: Run, raw: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
    """What a run's network makes of raw inputs (`Predictor`), on the CPU; without gradients.

    `weights`: a state dict to answer with, in place of the network's own.
    """
    device = run.recipe.device
    other = {f"model.{name}": value.to(device) for name, value in (weights or {}).items()}
    with torch.inference_mode(), run.precision():
        return torch.func.functional_call(predictor(run), other, raw.to(device)).cpu()
