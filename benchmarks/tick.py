"""What a look at a run costs the server: time and bytes of both charts, by how many steps the run has.

Measured with a step recorded between two looks, as it is while a run trains. To reach: the last row at most 1.5 times
the first, 5 ms and 30 kB.
"""

import json
import math
import time

import numpy as np
import torch

from benchmarks.measuring import print_table, spread
from dlcore.history import Epoch, History
from dlcore.recipes import RECIPES
from dlcore.runs.records import Stored
from pages.parts.charts import accuracy_figure, loss_figure

LENGTHS, ROUNDS = (10**3, 10**4, 10**5, 10**6), 60
PER_EPOCH = 63


def run() -> None:
    runs = {length: stored(length) for length in LENGTHS}
    times, sizes = {length: [] for length in LENGTHS}, {}
    for _ in range(ROUNDS):
        for length, record in runs.items():
            record.history.add_step(torch.tensor(0.1))
            start = time.perf_counter()
            figures = [loss_figure([record]), accuracy_figure([record])]
            times[length].append(time.perf_counter() - start)
            sizes[length] = sum(len(json.dumps(figure, separators=(",", ":"))) for figure in figures)
    first = np.array(times[LENGTHS[0]])
    rows = [
        [f"{length:,}", spread(figures, 1e3), spread(figures / first), f"{sizes[length] / 1000:.1f}"]
        for length, figures in ((length, np.array(times[length])) for length in LENGTHS)
    ]
    print_table(["steps", "ms", "over the first row", "kB"], rows)


def stored(length: int) -> Stored:
    """A run that has taken so many steps."""
    noise = np.random.default_rng(0).random(length, dtype=np.float32)
    losses = noise / np.sqrt(np.arange(1, length + 1, dtype=np.float32))
    epochs = [epoch(number) for number in range(1, length // PER_EPOCH + 1)]
    recipe = RECIPES["simplenet"].recipe.model_copy(update={"epochs": max(1, math.ceil(length / PER_EPOCH))})
    return Stored(
        number=1, name="long", first_recipe=recipe, history=History(losses, epochs), steps_per_epoch=PER_EPOCH
    )


def epoch(number: int) -> Epoch:
    loss = 1 / math.sqrt(number)
    return Epoch(number, number * PER_EPOCH, loss, 1 - loss / 2, loss * 1.1, 1 - loss, 0.001, number / 10, 800.0)
