"""What a training step costs: milliseconds, and how many times the bare loop on one batch that is already there.

The bare loop is the arithmetic alone: forward, loss, backward, optimizer, on the same batch again and again. dlcore's
figure has everything a user has: conductor, history, metrics, schedule, shuffling, the store; only evaluation is left
out, as it is for all. The peers train the same network, loss and optimizer on the same samples; the time to set their
training up is left out.

The first table has all on one thread. The second has each on as many as it uses when nobody says how many: dlcore half
of the cores, the others what PyTorch takes. Both are taken in the same rounds, and over the same figure: the bare loop
on one thread. To reach: at most 1.05 for simplenet and 1.02 for mnist-cnn, at batches of 64; ahead of every peer.
"""

import itertools
import time
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import (
    ENDLESS,
    TORCH_THREADS,
    conductor,
    in_turns,
    let_go,
    on_threads,
    print_table,
    spread,
    under_way,
)
from benchmarks.peers import PEERS, Peer, Task
from benchmarks.pictures import cifar_at_hand
from dlcore.catalogue.datasets import load
from dlcore.engine.conductor import Conductor
from dlcore.engine.job import Job
from dlcore.engine.training import Run, build
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES

NAMES, BATCHES = ("simplenet", "mnist-cnn", "cifar-lenet", "row-lstm"), (32, 64, 512)
ROUNDS, SECONDS, THREADS = 5, 0.5, 1


def run() -> None:
    torch.set_num_threads(THREADS)
    peers = {name: make for name, make in PEERS.items() if make}
    defaults = {"bare loop": TORCH_THREADS, "dlcore": Conductor().threads} | dict.fromkeys(peers, TORCH_THREADS)
    equal, by_default = [], []
    for name, size in itertools.product(NAMES, BATCHES):
        recipe = change(RECIPES[name].recipe, {"batch_size": size, "epochs": ENDLESS})
        with cifar_at_hand() as real:
            called = name if real or recipe.data.kind != "cifar10" else f"{name}, random pictures"
            figures = measure(name, recipe, peers, defaults)
        base = figures["bare loop", THREADS]
        ratios = {arm: spread(figures[arm] / base) for arm in figures}
        equal.append([called, size, spread(base, 1e3), *(ratios[arm, THREADS] for arm in ("dlcore", *peers))])
        by_default.append([called, size, *(ratios[arm] for arm in defaults.items())])
    if missing := [name for name in PEERS if name not in peers]:
        print(f"Not installed, and left out: {', '.join(missing)}.\n")
    print_table(["recipe", "batch", "bare loop, ms", "dlcore", *peers], equal)
    print()
    headings = (f"{arm}, {threads} thread{'s' * (threads > 1)}" for arm, threads in defaults.items())
    print_table(["recipe", "batch", *headings], by_default)


def measure(
    name: str, recipe: Recipe, peers: dict[str, Peer], defaults: dict[str, int]
) -> dict[tuple[str, int], np.ndarray]:
    """Seconds a step, by who takes it and on how many threads: on THREADS, and on its default where that is another."""
    data = load(recipe.data, recipe.device, lambda share: None)
    fresh = build(recipe, data)
    batch = data.train.inputs[: recipe.batch_size], data.train.targets[: recipe.batch_size]
    floor = on_threads(THREADS, lambda: bare(fresh, batch, 3))
    steps, seconds = max(3, round(SECONDS / floor)), max(SECONDS, 5 * floor)  # some steps at least
    samples = torch.arange(steps * recipe.batch_size) % len(data.train)
    task = Task(recipe, data, data.train.inputs[samples], data.train.targets[samples])
    with ExitStack() as stack:
        arms = {}
        for threads in {THREADS, defaults["bare loop"]}:
            arms["bare loop", threads] = lambda: bare(fresh, batch, steps)
        for threads in {THREADS, defaults["dlcore"]}:
            job = under_way(stack.enter_context(conductor(threads=threads)).submit(name, recipe))
            arms["dlcore", threads] = lambda job=job: trained(job, seconds)
        for peer, make in peers.items():
            once = make(task)
            once()
            for threads in {THREADS, defaults[peer]}:
                arms[peer, threads] = lambda once=once: once() / steps
        timed = {arm: partial(on_threads, arm[1], figure) for arm, figure in arms.items()}
        return in_turns(timed, ROUNDS)


def bare(run: Run, batch: tuple[Tensor, Tensor], steps: int) -> float:
    """Seconds a step."""
    run.model.train()
    start = time.perf_counter()
    for _ in range(steps):
        run.optimizer.zero_grad()
        loss_of(run, batch).backward()
        run.optimizer.step()
    return (time.perf_counter() - start) / steps


def loss_of(run: Run, batch: tuple[Tensor, Tensor]) -> Tensor:
    with run.precision():
        return run.recipe.loss.of(run.model(batch[0]), batch[1])


def trained(job: Job, seconds: float) -> float:
    """Seconds a step of a paused job, let go for a while; evaluation left out."""
    steps, elapsed, evaluating = let_go(job, seconds)
    return (elapsed - evaluating) / steps
