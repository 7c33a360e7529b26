"""Before and after: a benchmark of this checkout and of another one, by turns.

A turn is the benchmark as its own checkout has it, with fewer rounds, in a process of its own. Its figures are read
from the tables that it prints, so that older checkouts can be compared, too: what both print is.
"""

import json
import re
import subprocess
import sys
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np

from benchmarks.measuring import in_turns, print_table, spread

PAIRS = 8
# What a turn sets of the benchmark's module
TURNS = {
    "start": {"ROUNDS": 1, "PAGES": {}},  # no visits of pages
    "steps": {"NAMES": ["simplenet", "mnist-cnn"], "BATCHES": [64], "ROUNDS": 3, "PEERS": {}},
    "tick": {},
    "race": {"SIZES": [4], "ROUNDS": 3},
}
TURN = """
import importlib, json, sys
module = importlib.import_module(f"benchmarks.{sys.argv[1]}")
vars(module).update(json.loads(sys.argv[2]))
module.run()
"""
FIGURE = re.compile(r"(-?[\d.]+(?:e[+-]\d+)?)(?: \(\S+ to \S+\))?")  # as `measuring.spread` has it, or a number


def compare(name: str, here: Path, there: Path) -> None:
    """Print medians and the ratio of pairs. Raises RuntimeError when a checkout cannot run the benchmark."""
    checkouts = {"here": here, "there": there}
    first = {arm: turn(name, checkout) for arm, checkout in checkouts.items()}  # compiles, and is not counted
    common = [figure for figure in first["here"] if figure in first["there"]]
    if not common:
        raise RuntimeError(f"What {name} prints in {here} and in {there} has no figure in common.")

    def taken(checkout: Path) -> np.ndarray:
        printed = turn(name, checkout)
        return np.array([printed[figure] for figure in common])

    pairs = in_turns({arm: partial(taken, checkout) for arm, checkout in checkouts.items()}, PAIRS)
    columns = [*pairs.values(), pairs["here"] / pairs["there"]]
    rows = [[figure, *(spread(column[:, at]) for column in columns)] for at, figure in enumerate(common)]
    print_table(["", *pairs, "here over there"], rows)


def turn(name: str, checkout: Path) -> dict[str, float]:
    command = [sys.executable, "-c", TURN, name, json.dumps(TURNS[name])]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed in {checkout}: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return figures(done.stdout)


def figures(printed: str) -> dict[str, float]:
    """What a row's first median and what follows it say, each by its row and its column."""
    rows = [line[2:-2].split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    found: dict[str, float] = {}
    columns: list[str] = []
    for row, below in zip_longest(rows, rows[1:], fillvalue=[]):
        if set(below) == {"---"}:
            columns = row
            continue
        first = next((at for at, cell in enumerate(row) if " to " in cell and FIGURE.fullmatch(cell)), len(row))
        called = ", ".join(row[:first])
        for column, cell in zip(columns[first:], row[first:], strict=True):
            if figure := FIGURE.fullmatch(cell):
                found[f"{called}: {column}" if called else column] = float(figure[1])
    return found


def version(checkout: Path) -> str:
    """Its commit and whether it has been changed since; its path where git does not know it."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return str(checkout)
    return told.stdout.strip()
