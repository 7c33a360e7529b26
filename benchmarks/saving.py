"""What keeping runs costs: steps per second of a run that is saved over one that is not.

Both train in one process and take turns, a second each, whose order is drawn anew each time. Epochs are evaluated and
checkpoints written as always. To reach: 0.99.
"""

from functools import partial

from benchmarks.measuring import ENDLESS, conductor, in_turns, let_go, print_table, spread, under_way
from dlcore.engine.job import Job
from dlcore.recipes import RECIPES

SECONDS = {"simplenet": 1.0, "mnist-cnn": 4.0}  # a turn
ROUNDS = {"simplenet": 100, "mnist-cnn": 12}


def run() -> None:
    rows = []
    for name, seconds in SECONDS.items():
        recipe = RECIPES[name].recipe.model_copy(update={"epochs": ENDLESS})
        with conductor() as kept, conductor(kept=False) as plain:
            jobs = {"kept": under_way(kept.submit(name, recipe)), "not kept": under_way(plain.submit(name, recipe))}
            speeds = in_turns({arm: partial(speed, job, seconds) for arm, job in jobs.items()}, ROUNDS[name])
        ratio = spread(speeds["kept"] / speeds["not kept"])
        rows.append([name, *(spread(figures) for figures in speeds.values()), ratio])
    print_table(["recipe", "steps/s, kept", "steps/s, not kept", "ratio"], rows)


def speed(job: Job, seconds: float) -> float:
    """Steps per second of a paused job, let go for some seconds."""
    steps, elapsed, _ = let_go(job, seconds)
    return steps / elapsed
