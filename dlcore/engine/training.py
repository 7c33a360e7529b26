"""Training: the loop, and evaluation. Both are generators: to pause is not to ask for the next step."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from dlcore.catalogue.splits import Dataset, FiledSplit, Samples, Split
from dlcore.engine.randomness import Drawing, derive, generator
from dlcore.memory import BLOCK, EVALUATION_BATCH
from dlcore.recipe import Recipe


class Step(NamedTuple):
    """One optimizer step was taken; the loss stays on its device until someone reads it."""

    epoch: int
    loss: Tensor


class Evaluating(NamedTuple):
    """A batch was evaluated: a place to pause, nothing to record."""


@dataclass(frozen=True)
class Scores:
    """How a network does on a split. `predicted` are class numbers (N,), tokens (N, length), or values (N, count)."""

    loss: float
    accuracy: float | None  # None for regression
    predicted: np.ndarray


class EpochEnd(NamedTuple):
    """An epoch was trained and evaluated."""

    epoch: int
    train: Scores  # on as many training samples as validate, at least a batch of evaluation; as validation, dropout off
    validation: Scores
    lr: float  # of the epoch's last step


class Place(NamedTuple):
    """How far a run is: whole epochs, evaluation included, and steps of the epoch after them."""

    epochs: int = 0
    steps: int = 0


@dataclass(eq=False)
class Run:
    """What trains: a recipe with its data, network and optimizer. Belongs to the thread that trains it."""

    recipe: Recipe  # as it is now: `steer` may change it between two steps
    data: Dataset
    model: nn.Module
    optimizer: torch.optim.Optimizer

    @property
    def steps_per_epoch(self) -> int:
        return self.recipe.steps_per_epoch(len(self.data.train))

    def precision(self) -> contextlib.AbstractContextManager:
        if self.recipe.precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.recipe.device, torch.bfloat16)


def build(recipe: Recipe, data: Dataset) -> Run:
    """A run at its start: weights drawn from the seed, default generators seeded. `data` is on the recipe's device."""
    run = untrained(recipe, data)
    torch.manual_seed(derive(recipe.seed, "training"))
    return run


def untrained(recipe: Recipe, data: Dataset) -> Run:
    """The same, for whoever only looks: any thread may build one, since default generators are left alone."""
    with Drawing(generator(recipe.seed, "building")):  # layers draw when they are made, which counts for nothing
        model = recipe.model.build(recipe.inputs, recipe.outputs)
    initialise(model, recipe.seed, recipe.model.ready(model))
    to_device(model, recipe.device)
    return Run(recipe, data, model, recipe.optimizer.build(recipe.model.groups(model)))


def initialise(model: nn.Module, seed: int, ready: Iterable[nn.Module] = ()) -> None:
    """Draw the first weights so that networks with layers of the same shape start from the same numbers; what is
    `ready` has its weights already.

    Every layer draws from a stream of its own, named by its shape and by how many such layers came before, whatever
    other layers the network has.
    """
    seen: dict[str, int] = {}
    left_alone = {module for part in ready for module in part.modules()}
    for module in model.modules():
        if hasattr(module, "reset_parameters") and module not in left_alone:
            shape = str([tuple(parameter.shape) for parameter in module.parameters(recurse=False)])
            seen[shape] = seen.get(shape, 0) + 1
            with Drawing(generator(seed, "weights", shape, seen[shape])):
                module.reset_parameters()


def to_device(model: nn.Module, device: str) -> None:
    """Move a network to its device; on the CPU with channels last in memory, which spares convolutions up to a third
    of their time.
    """
    model.to(device, memory_format=torch.channels_last if device == "cpu" else torch.contiguous_format)


def steer(run: Run, recipe: Recipe) -> None:
    """Go on with other settings, among those that `recipe.steerable` names."""
    run.recipe = recipe
    recipe.optimizer.steer(run.optimizer)
    for module in run.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = recipe.model.dropout
        elif isinstance(module, nn.Dropout2d):
            module.p = recipe.model.channel_dropout


def train(run: Run, start: Place = Place()) -> Iterator[Step | Evaluating | EpochEnd]:  # noqa: B008 - immutable
    """The loop. Between two yields lies at most one batch; gradients survive the yield."""
    model, optimizer, per_epoch = run.model, run.optimizer, run.steps_per_epoch
    sample = run.data.train.first(max(len(run.data.validation), EVALUATION_BATCH))  # small sets whole, at no more cost
    parameters, take_step = list(model.parameters()), _without_hooks(optimizer)
    epoch, done = start
    while epoch < run.recipe.epochs:
        epoch += 1
        for step, (inputs, targets) in enumerate(batches(run, epoch, done), (epoch - 1) * per_epoch + done):
            recipe = run.recipe
            factor = recipe.schedule.factor(step, recipe.epochs * per_epoch, per_epoch)
            for group in optimizer.param_groups:
                group["lr"] = recipe.optimizer.lr * group["rate"] * factor
            if not model.training:  # it was evaluated, or asked something; walking through it at every step costs
                model.train()
            for parameter in parameters:  # as optimizer.zero_grad does, which is slower
                parameter.grad = None
            pictures = recipe.augmentation.apply(inputs)  # in full precision: places, not only values, hang on it
            with run.precision():
                loss = recipe.loss.of(model(pictures), targets)
            if loss.requires_grad:  # not where all layers are frozen
                loss.backward()
            take_step()
            taken = Step(epoch, loss.detach())
            del loss  # and with it the graph, so that the next one finds its memory, still in the cache
            yield taken
        done = 0
        scores = yield from evaluate(run, sample)
        validation = yield from evaluate(run, run.data.validation)
        yield EpochEnd(epoch, scores, validation, optimizer.param_groups[0]["lr"])


def _without_hooks(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Its `step`, without what PyTorch wraps around it for profilers: that takes as long as a small layer."""
    step = type(optimizer).step
    return functools.partial(step.__wrapped__ if getattr(step, "hooked", False) else step, optimizer)


def batches(run: Run, epoch: int, skip: int = 0) -> Iterator[Samples]:
    """An epoch's batches after the first `skip`; their order follows from the seed and the epoch alone, whatever the
    network draws.

    Blocks are cut at the same places whatever is skipped: rounding can hang on where in memory a batch lies.
    """
    train, size = run.data.train, run.recipe.batch_size
    if size == "all" or size >= len(train):
        if not skip:
            yield train[:]
        return
    order = torch.randperm(len(train), generator=generator(run.recipe.seed, "order", epoch))
    blocks = order.to(train.targets.device).split(size * BLOCK)[skip // BLOCK :]
    for number, (inputs, targets) in enumerate(train.blocks(blocks)):
        found = zip(inputs.split(size), targets.split(size), strict=True)
        yield from itertools.islice(found, 0 if number else skip % BLOCK, None)


def evaluate(run: Run, split: Split | FiledSplit) -> Generator[Evaluating, None, Scores]:
    """Mean loss and accuracy over a split, dropout off, a batch at a time."""
    task, criterion = run.recipe.task, run.recipe.loss
    loss, weight, predicted = 0.0, 0, []
    batches = [slice(start, start + EVALUATION_BATCH) for start in range(0, len(split), EVALUATION_BATCH)]
    for inputs, targets in split.blocks(batches):
        run.model.eval()
        with torch.inference_mode(), run.precision():
            outputs = run.model(inputs)
            loss += criterion.of(outputs, targets) * task.weight(targets)
            weight += task.weight(targets)
            predicted.append(task.answers(outputs.float(), criterion))
        yield Evaluating()
    answers = torch.cat(predicted).cpu()
    return Scores(float(loss) / weight, task.accuracy(split.targets.cpu(), answers), answers.numpy())


def score(run: Run, split: Split | FiledSplit) -> Scores:
    """`evaluate` in one go, for those who need no pause."""
    scoring = evaluate(run, split)
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            return end.value
