"""What racing costs: the time of N contestants side by side over the sum of their times alone.

The contestants differ in their learning rates alone. To reach: at most 1.03.
"""

from functools import partial

from benchmarks.measuring import conductor, in_turns, print_table, spread
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES

SIZES, ROUNDS = (2, 4, 8), 7
RECIPE, EPOCHS = "simplenet", 4


def run() -> None:
    rows = []
    for size in SIZES:
        base = change(RECIPES[RECIPE].recipe, {"epochs": EPOCHS})
        recipes = [change(base, {"optimizer.lr": 0.001 / (number + 1)}) for number in range(size)]
        arms = {"race": partial(raced, recipes), "alone": partial(alone, recipes)}
        found = in_turns(arms, ROUNDS)
        rows.append([size, *(spread(found[arm]) for arm in arms), spread(found["race"] / found["alone"])])
    print_table(["contestants", "race, s", "sum alone, s", "ratio"], rows)


def raced(recipes: list[Recipe]) -> float:
    """Seconds from the first one's first step to the last one's end: they train one at a time, by turns."""
    with conductor() as place:
        jobs = place.race([(f"number {number}", recipe) for number, recipe in enumerate(recipes)])
        for job in jobs:
            job.wait()
        return max(job.elapsed for job in jobs)


def alone(recipes: list[Recipe]) -> float:
    total = 0.0
    with conductor() as place:
        for recipe in recipes:
            job = place.submit("alone", recipe)
            job.wait()
            total += job.elapsed
    return total
