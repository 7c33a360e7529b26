"""How the floor itself can be lowered, and what that does to accuracy.

Times of the bare loop on one batch of 64, over those on one thread in float32: with as many threads as there are cores,
in bfloat16 (the setting `precision`), and with channels first in memory, PyTorch's own order, instead of last. Then
each recipe's validation accuracy in float32 and in bfloat16, on several seeds. Optimizers are fused in all of them.
To reach: whatever helps is on, or is a setting.
"""

import os
from collections.abc import Callable
from functools import partial

import torch

from benchmarks.measuring import conductor, in_turns, on_threads, print_table, spread
from benchmarks.pictures import cifar_at_hand
from benchmarks.steps import bare
from dlcore.catalogue.datasets import load
from dlcore.engine.training import Run, build
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES

NAMES, LEARNED = ("simplenet", "mnist-cnn", "cifar-lenet", "row-lstm"), ("simplenet", "mnist-cnn", "row-lstm")
ROUNDS, SECONDS, SEEDS = 11, 0.5, 3


def run() -> None:
    rows = []
    with cifar_at_hand():
        for name in NAMES:
            found = in_turns(arms(change(RECIPES[name].recipe, {"batch_size": 64})), ROUNDS)
            first, *others = found.values()
            rows.append([name, spread(first, 1e3), *(spread(other / first) for other in others)])
    print_table(["recipe", *(f"{arm}, ms" if arm == "float32" else arm for arm in found)], rows)
    print()
    rows = [[name, *(accuracies(name, precision) for precision in ("float32", "bfloat16"))] for name in LEARNED]
    print_table(["recipe", "float32", "bfloat16"], rows)


def arms(recipe: Recipe) -> dict[str, Callable[[], float]]:
    data = load(recipe.data)
    plain, first = build(recipe, data), build(recipe, data)
    half = build(change(recipe, {"precision": "bfloat16"}), data)
    batch = data.train.inputs[:64], data.train.targets[:64]
    first.model.to(memory_format=torch.contiguous_format)
    steps = max(3, round(SECONDS / on_threads(1, lambda: bare(plain, batch, 3))))

    def timed(run: Run, threads: int = 1) -> Callable[[], float]:
        return partial(on_threads, threads, lambda: bare(run, batch, steps))

    return {
        "float32": timed(plain),
        f"{os.cpu_count()} threads": timed(plain, os.cpu_count()),
        "bfloat16": timed(half),
        "channels first": timed(first),
    }


def accuracies(name: str, precision: str) -> str:
    recipe = change(RECIPES[name].recipe, {"precision": precision})
    with conductor(kept=False) as place:
        jobs = [place.submit(name, change(recipe, {"seed": seed})) for seed in range(SEEDS)]
        for job in jobs:
            job.wait()
    return ", ".join(f"{job.history.epochs[-1].val_accuracy:.3f}" for job in jobs)
