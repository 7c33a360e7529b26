"""Axes of a run's curves: where its steps stand on them, and how far up they go. Pure, as `charts`."""

from collections.abc import Iterable, Sequence

import numpy as np

from dlcore.recipe import Recipe
from dlcore.runs.records import Record

ORDINARY, ROOM = 0.95, 2.0  # the share of a line's points that the loss axis always shows, and how much more


def places(run: Record, steps: np.ndarray, x: str) -> np.ndarray:
    """Where steps stand on the axis: between the ends of epochs by interpolation, and after the last one at the pace
    so far.
    """
    if x == "step" or not len(steps):
        return np.asarray(steps, dtype=float)
    count, columns = len(run.history.epochs), run.history.columns
    ends, values = (
        np.append(0, columns[name].values[:count]) for name in ("step", "epoch" if x == "epoch" else "seconds")
    )
    pace = 1 / max(run.steps_per_epoch, 1) if x == "epoch" else run.stepping / max(run.history.steps, 1)
    return np.interp(steps, ends, values) + np.maximum(np.asarray(steps) - ends[-1], 0) * pace


def unit(runs: Sequence[Record], x: str) -> tuple[str, str, float]:
    """The title of an axis, what stands behind its last number, and how many of `places` one of its units has."""
    if x != "time":
        return x, f" {x}s", 1
    longest = max(places(run, np.array([run.history.steps]), "time")[0] for run in runs)
    units = (("hours", " h", 3600), ("minutes", " min", 60), ("seconds", " s", 1))
    return next(
        (f"time ({name})", short, seconds) for name, short, seconds in units if longest >= 2 * seconds or seconds == 1
    )


def percent_axis() -> dict:
    """From 0 to 100 %, whatever is on it: charts of different runs can be compared."""
    return {"range": [0, 1], "nticks": 6, "tickformat": "~%", "hoverformat": ".2%"}


def loss_axis(lines: Iterable[Sequence[float | None]]) -> dict:
    """Cut off above what matters: where a line ends, and twice what nineteen of twenty of its points stay below. So
    one spike does not flatten the rest.
    """
    found = [np.array(line, np.float64) for line in lines]
    found = [line[np.isfinite(line)] for line in found]
    found = [line for line in found if len(line)]
    top = max(map(_top, found), default=0.0)
    cut = any(line.max() > top for line in found)
    return {"autorangeoptions": {"clipmax": float(f"{1.05 * top:.4g}")}} if cut else {}


def _top(line: np.ndarray) -> float:
    ordinary = np.quantile(line, ORDINARY, method="lower")  # of few points, all but the highest
    return max(line[-1], min(line.max(), ROOM * ordinary)) if ordinary > 0 else line.max()


def guessing(run: Record | None, recipe: Recipe) -> float | None:
    """The accuracy of always naming the commonest class of the validation samples; where they are not known, as if all
    classes were equally common. None for numbers.
    """
    targets = getattr(run, "targets", None)
    if not recipe.task.classes:
        return None
    return float(np.bincount(targets).max() / len(targets)) if targets is not None else 1 / len(recipe.task.classes)


def guessing_line(share: float) -> dict:
    # Under the line if there is room: lines of runs that learned nothing have their words above it.
    label = {"text": f"guessing {share:.0%}", "textposition": "end", "font": {"size": 11}}
    label["yanchor"] = "top" if share >= 0.15 else "bottom"
    return {
        "name": "guessing",
        "type": "line",
        "layer": "below",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": share,
        "y1": share,
        "line": {"color": "#8C8C8C", "width": 1, "dash": "dash"},
        "label": label,
    }
