"""Marks: where a run left its parent and where its settings were changed, as numbered flags. Pure, as `charts`."""

import html
from typing import NamedTuple

import numpy as np

from dlcore.history import LOST, MEASURES, Change
from dlcore.recipe import Recipe, field_at, value_at
from dlcore.runs.operations import read
from dlcore.runs.records import PACE, Record
from pages.parts.axes import places

MOST_FLAGS = 30  # the latest, which are drawn
TOGETHER = 2.0  # seconds within which changes are one mark, such as those of a slider that is being moved


class Mark(NamedTuple):
    """A place on the way of a run, and what happened there."""

    number: int  # from 1
    step: int
    words: tuple[str, ...]


def marks(run: Record) -> list[Mark]:
    """In the order of their steps. A change carries no time of day, only its step; so the seconds between two of them
    are those that the run worked, or those that its pace takes if that is more. Pauses do not count: no step is done.
    """
    changes = [change for change in run.history.changes if change.step]
    worked = places(run, np.array([change.step for change in changes]), "time")
    groups: list[tuple[int, dict[str, str]]] = []  # the step of each, and what happened by its setting
    if run.branch:
        groups.append((run.branch.step, {"branch": f"branch of run {run.branch.parent}"}))
    pace = next((change.value for change in run.history.changes if change.setting == PACE and not change.step), None)
    first, at = None, 0.0  # the first change of the group, and when it was
    for change, seconds in zip(changes, worked, strict=True):
        apart = max(seconds - at, (change.step - first.step) / (pace or np.inf)) if first else np.inf
        if apart > TOGETHER:
            first, at = change, seconds
            groups.append((change.step, {}))
        groups[-1][1][change.setting] = change_text(run.recipe, change)  # only the last value of a slider counts
        pace = change.value if change.setting == PACE else pace
    joined: dict[int, dict[str, str]] = {}
    for step, words in sorted(groups, key=lambda group: group[0]):
        joined[step] = joined.get(step, {}) | words
    return [Mark(number, step, tuple(words.values())) for number, (step, words) in enumerate(joined.items(), 1)]


def flags(run: Record) -> dict:
    """The parts of a layout that draw the marks: a line each, its number over it."""
    latest = marks(run)[-MOST_FLAGS:]
    line = {"name": "mark", "type": "line", "yref": "paper", "y0": 0, "y1": 1}
    line |= {"line": {"color": "#8C8C8C", "width": 1, "dash": "dot"}}
    flag = {"yref": "paper", "y": 1, "yanchor": "bottom", "xanchor": "center", "showarrow": False, "borderpad": 1}
    flag |= {"bordercolor": "#8C8C8C", "borderwidth": 1, "font": {"size": 10}}
    return {
        "shapes": [line | {"x0": mark.step, "x1": mark.step} for mark in latest],
        "annotations": [
            flag | {"x": mark.step, "text": str(mark.number), "hovertext": html.escape(", ".join(mark.words))}
            for mark in latest
        ],
    }


def change_text(recipe: Recipe, change: Change) -> str:
    """`learning rate 0.01`, `full speed`."""
    if change.setting == PACE:
        return "full speed" if change.value is None else f"{change.value:g} steps/s"
    if operation := read(change.setting):
        return operation.text(change.value)
    if change.setting == LOST:
        return "measurements before are lost"
    if change.setting in MEASURES:
        return "measured by another loss" if change.setting == "loss.kind" else "measured on other data"
    value = f"{change.value:g}" if isinstance(change.value, float) else str(change.value).lower()
    if value_at(recipe, change.setting) is None:  # a parent's, whose optimizer had other settings
        return f"{change.setting.rpartition('.')[2].replace('_', ' ')} {value}"
    return f"{field_at(recipe, change.setting).title.lower()} {value}"
