"""What a training step costs: milliseconds, and how many times the bare loop on one batch that is already there.

The bare loop is the arithmetic alone: forward, loss, backward, optimizer, on the same batch again and again. dlcore's
figure has everything a user has: conductor, history, metrics, schedule, shuffling, the store; only evaluation is left
out, as it is for all. The peers train the same network, loss and optimizer on the same samples; the time to set their
training up is left out. All use the same number of threads. To reach: at most 1.05 for simplenet and 1.02 for
mnist-cnn, at batches of 64; ahead of every peer.
"""

import itertools
import time

import torch
from torch import Tensor

from benchmarks.measuring import ENDLESS, conductor, in_turns, let_go, print_table, spread, under_way
from benchmarks.peers import PEERS, Peer, Task
from benchmarks.pictures import cifar_at_hand
from dlcore.catalogue.datasets import load
from dlcore.engine.job import Job
from dlcore.engine.training import Run, build
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES

NAMES, BATCHES = ("simplenet", "mnist-cnn", "cifar-lenet", "row-lstm"), (32, 64, 512)
ROUNDS, SECONDS, THREADS = 5, 0.5, 1


def run() -> None:
    torch.set_num_threads(THREADS)
    peers = {name: make for name, make in PEERS.items() if make}
    rows = []
    for name, size in itertools.product(NAMES, BATCHES):
        recipe = change(RECIPES[name].recipe, {"batch_size": size, "epochs": ENDLESS})
        with cifar_at_hand() as real:
            called = name if real or recipe.data.kind != "cifar10" else f"{name}, random pictures"
            rows.append([called, size, *measure(name, recipe, peers)])
    print_table(["recipe", "batch", "bare loop, ms", "dlcore", *peers], rows)


def measure(name: str, recipe: Recipe, peers: dict[str, Peer]) -> list[str]:
    data = load(recipe.data, recipe.device, lambda share: None)
    fresh = build(recipe, data)
    batch = data.train.inputs[: recipe.batch_size], data.train.targets[: recipe.batch_size]
    floor = bare(fresh, batch, 3)
    steps = max(3, round(SECONDS / floor))
    places = torch.arange(steps * recipe.batch_size) % len(data.train)
    task = Task(recipe, data, data.train.inputs[places], data.train.targets[places])
    with conductor(threads=THREADS) as place:
        job = under_way(place.submit(name, recipe))
        seconds = max(SECONDS, 5 * floor)  # some steps at least
        arms = {"bare": lambda: bare(fresh, batch, steps), "dlcore": lambda: trained(job, seconds)}
        for peer, make in peers.items():
            once = make(task)
            once()
            arms[peer] = lambda once=once: once() / steps
        found = in_turns(arms, ROUNDS)
    return [spread(found["bare"], 1e3), *(spread(found[arm] / found["bare"]) for arm in ("dlcore", *peers))]


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
