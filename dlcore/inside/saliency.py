"""Saliency: which parts of an input a network's answer hangs on, and what the same method says of a network that has
learned nothing.

A method may draw a convincing picture of the input whatever the network does (Adebayo et al. 2018, arXiv:1810.03292).
So each is also asked of a copy with random first weights: where both maps look alike, they tell of the input, and
nothing of what was learned.

Everything is measured on raw inputs, from 0 to 1 for pictures: what is black has no part in gradient × input.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from dlcore.catalogue.spec import Inputs, Picture, Tokens
from dlcore.inside.errors import LookError
from dlcore.later import nn, torch

if TYPE_CHECKING:
    from dlcore.engine.training import Run

Method = Literal["gradient", "integrated", "grad-cam", "occlusion"]
STEPS = 32  # from the baseline to the input, for integrated gradients, which then add up to about a hundredth
AT_ONCE = 64  # occluded inputs that pass the network together
KNOWN = 256  # training samples whose mean is the baseline of what is no picture
WINDOWS = 7  # occluding windows along a side, if they did not overlap


@dataclass(frozen=True)
class Saliency:
    """What each part of an input adds to one output of a network: above 0 it speaks for it, below 0 against it.

    Maps are (H, W) float32 for a picture, (steps, channels) for a series, and (features,) for features.
    """

    method: Method
    map: np.ndarray
    untrained: np.ndarray  # the same of the network with random weights
    alike: float | None  # rank correlation of both, without signs; None where there is nothing to compare
    explained: int  # which class, or which of the values
    answers: np.ndarray  # probabilities (classes,), or values (count,)
    target: float | None  # class number or first value; None for what is no sample
    raw: np.ndarray  # the input (*shape) float32, before it was normalised
    samples: int  # in the validation split


def load() -> None:
    """Import what the methods need, so that the thread that trains need not: that takes half a second."""
    import captum.attr  # noqa: F401
    import scipy.stats  # noqa: F401


def methods(inputs: Inputs) -> dict[Method, str]:
    """What there is for such inputs, with what people call it."""
    if isinstance(inputs, Tokens):
        return {}
    found: dict[Method, str] = {"gradient": "Gradient × input", "integrated": "Integrated gradients"}
    if isinstance(inputs, Picture):
        found["grad-cam"] = "Grad-CAM"
    return found | {"occlusion": "Occlusion"}


def saliency(run: Run, method: Method, of: int | np.ndarray, explain: int | None = None) -> Saliency:
    """To be asked with gradients. `of`: a place in the validation split, or a raw input (*shape).

    `explain`: the class whose output is explained, that of the answer by default; for values which one. Methods:
    gradient × input (Shrikumar et al. 2016, arXiv:1605.01713), integrated gradients (Sundararajan et al. 2017,
    arXiv:1703.01365), Grad-CAM on the last convolution (Selvaraju et al. 2017, arXiv:1610.02391; with its sign, which
    the paper cuts off), occlusion (Zeiler & Fergus 2014, arXiv:1311.2901). The baseline is black for pictures, else the
    mean training sample. Raises LookError.
    """
    from dlcore.engine.predicting import predict  # PyTorch is here by then

    raw, target = _input(run, of)
    if method not in methods(run.recipe.inputs):
        raise LookError(_missing(run.recipe.inputs))
    answers = predict(run, raw)[0].float()
    explained = _explained(run, answers, explain)
    baseline, device = _baseline(run), run.recipe.device
    models = run.model, untrained(run.model, run.recipe.seed)
    with _derivable(run):
        found = [
            attribute(method, _output(run, model, explained), model, raw.to(device), baseline.to(device))
            for model in models
        ]
    maps = [_fold(one) for one in found]
    told = answers.numpy(), target, raw[0].numpy(), len(run.data.validation)
    return Saliency(method, *maps, _alike(*maps), explained, *told)


def attribute(
    method: Method,
    answer: Callable[[torch.Tensor], torch.Tensor],
    model: nn.Module,
    raw: torch.Tensor,
    baseline: torch.Tensor,
    steps: int = STEPS,
) -> torch.Tensor:
    """What each number of `raw` (1, *shape) adds to the one output that `answer` has `model` give; (*shape), or (H, W)
    of Grad-CAM. Raises LookError for Grad-CAM without convolutions.
    """
    from captum import attr

    raw = raw.detach().clone().requires_grad_()
    match method:
        case "gradient":
            found = attr.InputXGradient(answer).attribute(raw)
        case "integrated":
            found = attr.IntegratedGradients(answer).attribute(raw, baseline, n_steps=steps)
        case "grad-cam":
            convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
            if not convolutions:
                raise LookError(
                    "Grad-CAM looks at the maps of a convolution, and this network has none; gradient × input, "
                    "integrated gradients and occlusion can be had."
                )
            maps = attr.LayerGradCam(answer, convolutions[-1]).attribute(raw, relu_attributions=False)
            found = attr.LayerAttribution.interpolate(maps.detach(), tuple(raw.shape[-2:]), "bilinear")[:, 0]
        case "occlusion":
            window, stride = _window(tuple(raw.shape[1:]))
            with torch.no_grad():
                found = attr.Occlusion(answer).attribute(
                    raw.detach(), window, stride, baseline, perturbations_per_eval=AT_ONCE
                )
    return found.detach()[0]


def untrained(model: nn.Module, seed: int) -> nn.Module:
    """A copy with first weights of a seed of their own; no default generator is touched."""
    from dlcore.engine.randomness import derive
    from dlcore.engine.training import initialise

    model = copy.deepcopy(model)
    initialise(model, derive(seed, "untrained"))
    return model


def _output(run: Run, model: nn.Module, explained: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """From raw inputs (N, *shape) to the output that is explained, (N,), before it becomes a probability: where a
    network is sure, a probability hardly moves, whatever happens to the input.
    """
    mean, std, alone = run.data.mean, run.data.std, run.recipe.outputs == (1,) and len(run.recipe.task.classes) == 2

    def output(raw: torch.Tensor) -> torch.Tensor:
        outputs = model((raw - mean) / std).float()
        if alone:  # one output for two classes: what speaks for the second speaks against the first
            return outputs[:, 0] if explained else -outputs[:, 0]
        return outputs[:, explained]

    return output


def _input(run: Run, of: int | np.ndarray) -> tuple[torch.Tensor, float | None]:
    """Raw, (1, *shape) on the CPU, and what it is."""
    recipe, data = run.recipe, run.data
    if isinstance(recipe.inputs, Tokens):
        raise LookError(_missing(recipe.inputs))
    if isinstance(of, np.ndarray):
        if of.shape != recipe.shape:
            shapes = [" × ".join(map(str, shape)) for shape in (of.shape, recipe.shape)]
            raise LookError(f"What is to be explained is {shapes[0]}, but this network reads {shapes[1]}.")
        return torch.from_numpy(np.ascontiguousarray(of, np.float32))[None], None
    if not 0 <= of < len(data.validation):
        raise LookError(f"There is no validation sample {of}; they go from 0 to {len(data.validation) - 1}.")
    inputs, targets = data.validation[of : of + 1]
    return (inputs * data.std + data.mean).cpu(), float(targets.flatten()[0])


def _missing(inputs: Inputs) -> str:
    if isinstance(inputs, Tokens):
        return "Tokens are names without more or less, so nothing can be derived by them; pictures and numbers can."
    return f"This method is for pictures; for {inputs.noun} there are {', '.join(methods(inputs).values())}."


def _explained(run: Run, answers: torch.Tensor, explain: int | None) -> int:
    if explain is None:
        return int(answers.argmax()) if run.recipe.task.classes else 0
    if not 0 <= explain < len(answers):
        raise LookError(f"There is no output {explain}; they go from 0 to {len(answers) - 1}.")
    return explain


def _baseline(run: Run) -> torch.Tensor:
    """The input that says nothing, (1, *shape)."""
    known, inputs = run.data.train[:KNOWN][0], run.recipe.inputs
    if isinstance(inputs, Picture) or not len(known):
        return torch.zeros(1, *inputs.shape)
    return (known * run.data.std + run.data.mean).mean(0, keepdim=True).cpu()


def _window(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of occlusion, and how far it moves: half its side for pictures, a whole one else."""
    if len(shape) == 1:
        return (1,), (1,)
    if len(shape) == 2:
        side = max(1, round(shape[0] / WINDOWS))
        return (side, 1), (side, 1)
    sides = [max(1, round(side / WINDOWS)) for side in shape[1:]]
    return (shape[0], *sides), (shape[0], *(max(1, side // 2) for side in sides))


def _fold(found: torch.Tensor) -> np.ndarray:
    """The channels of a picture together."""
    return (found.sum(0) if found.dim() == 3 else found).cpu().numpy().astype(np.float32)


def _alike(one: np.ndarray, other: np.ndarray) -> float | None:
    """Spearman's rank correlation of two maps without their signs, as Adebayo et al. compare them; where both are
    nothing, as on black, there is nothing to compare.
    """
    from scipy.stats import spearmanr

    there = (one != 0) | (other != 0)
    one, other = np.abs(one[there]), np.abs(other[there])
    if len(one) < 2 or not np.isfinite([one, other]).all() or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(spearmanr(one, other).statistic)


def _derivable(run: Run) -> contextlib.AbstractContextManager:
    """cuDNN's recurrent cells can be derived in training alone; PyTorch's own always."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in run.model.modules())
    if run.recipe.device == "cuda" and recurrent:
        return torch.backends.cudnn.flags(enabled=False)
    return contextlib.nullcontext()
