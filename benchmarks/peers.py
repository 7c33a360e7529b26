"""What people would use instead, each in the way its own documentation shows; nothing is tuned for or against it.

A peer is a function from a `Task` to one that trains an epoch and gives the seconds from its first batch to its end.
"""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.measuring import installed
from dlcore.catalogue import splits
from dlcore.engine.training import build
from dlcore.recipe import Recipe

Epoch = Callable[[], float]


@dataclass(frozen=True)
class Task:
    """An epoch to train."""

    recipe: Recipe
    data: splits.Dataset
    inputs: Tensor  # normalised
    targets: Tensor

    def network(self) -> nn.Module:
        return build(self.recipe, self.data).model

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return self.recipe.optimizer.build(model.parameters())


class Pictures(Dataset):
    """As torchvision's MNIST and CIFAR10 give them: a PIL image a sample, then transforms."""

    def __init__(self, task: Task):
        from torchvision import transforms
        from torchvision.transforms import functional

        mean, std = task.data.mean.flatten(), task.data.std.flatten()
        raw = task.inputs * task.data.std + task.data.mean
        self.pictures = [functional.to_pil_image(picture.clamp(0, 1)) for picture in raw]
        self.targets = task.targets.tolist()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean.tolist(), std.tolist())])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[place]), self.targets[place]


def classic(task: Task) -> Epoch:
    """The loop of the tutorials: images, transforms, a DataLoader, and the loss read at every step."""
    return _loop(task, Pictures(task), read=True)


def tensors(task: Task) -> Epoch:
    """A DataLoader over tensors."""
    return _loop(task, TensorDataset(task.inputs, task.targets), read=False)


def _loop(task: Task, samples: Dataset, read: bool) -> Epoch:
    model = task.network()
    optimizer = task.optimizer(model)
    loader = DataLoader(samples, batch_size=task.recipe.batch_size, shuffle=True)

    def epoch() -> float:
        total, start = 0.0, time.perf_counter()
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = task.recipe.loss.of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item() if read else 0
        return time.perf_counter() - start

    return epoch


def lightning(task: Task) -> Epoch:
    import lightning as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = task.network()

        def training_step(self, batch, number):
            loss = task.recipe.loss.of(self.model(batch[0]), batch[1])
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return task.optimizer(self.model)

    class Clock(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            self.start = time.perf_counter()

        def on_train_epoch_end(self, trainer, module):
            self.seconds = time.perf_counter() - self.start

    module, samples = Module(), TensorDataset(task.inputs, task.targets)
    loader = DataLoader(samples, batch_size=task.recipe.batch_size, shuffle=True)

    def epoch() -> float:
        clock = Clock()
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, callbacks=[clock], **quiet).fit(module, loader)
        return clock.seconds

    return epoch


def skorch(task: Task) -> Epoch:
    from skorch import NeuralNet

    class Criterion(nn.Module):
        def forward(self, outputs, targets):
            return task.recipe.loss.of(outputs, targets)

    net = NeuralNet(
        task.network(),
        Criterion,
        optimizer=lambda parameters, **_: task.recipe.optimizer.build(parameters),
        batch_size=task.recipe.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    ).initialize()

    def epoch() -> float:
        net.partial_fit(task.inputs, task.targets, epochs=1)
        return net.history[-1, "dur"]

    return epoch


def keras(task: Task) -> Epoch:
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    import keras

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds = time.perf_counter() - self.start

    inputs = keras.Input(task.recipe.shape)
    outputs = keras.layers.TorchModuleWrapper(task.network(), output_shape=(None, *task.recipe.outputs))(inputs)
    model, settings = keras.Model(inputs, outputs), task.recipe.optimizer
    if settings.kind == "sgd":
        optimizer = keras.optimizers.SGD(settings.lr, momentum=settings.momentum)
    else:
        optimizer = keras.optimizers.Adam(settings.lr)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def epoch() -> float:
        clock = Clock()
        model.fit(
            task.inputs.numpy(),
            task.targets.numpy(),
            batch_size=task.recipe.batch_size,
            epochs=1,
            verbose=0,
            callbacks=[clock],
        )
        return clock.seconds

    return epoch


def fastai(task: Task) -> Epoch:
    import fastai.callback.progress  # noqa: F401 - gives Learner its no_bar
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper

    class Clock(Callback):
        def before_train(self):
            self.start = time.perf_counter()

        def after_train(self):
            self.seconds = time.perf_counter() - self.start

    samples, clock = TensorDataset(task.inputs, task.targets), Clock()
    loader = DataLoader(samples, bs=task.recipe.batch_size, shuffle=True, num_workers=0)
    learner = Learner(
        DataLoaders(loader, loader, device="cpu"),
        task.network(),
        loss_func=task.recipe.loss.of,
        opt_func=partial(OptimWrapper, opt=lambda groups, **_: task.recipe.optimizer.build(groups)),
        cbs=[clock],
        train_bn=True,
    )

    def epoch() -> float:
        with learner.no_bar(), learner.no_logging():
            learner.fit(1, lr=task.recipe.optimizer.lr)
        return clock.seconds

    return epoch


Peer = Callable[[Task], Epoch]
PEERS: dict[str, Peer | None] = {
    "images + DataLoader": classic,
    "tensors + DataLoader": tensors,
    "Lightning": lightning if installed("lightning") else None,
    "skorch": skorch if installed("skorch") else None,
    "Keras": keras if installed("keras") else None,
    "fastai": fastai if installed("fastai") else None,
}
