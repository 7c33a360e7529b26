"""How good a run is, as one large figure beside what guessing gives, and in a sentence for someone who is new to it."""

import html
from typing import NamedTuple

import numpy as np
import streamlit as st

from dlcore.engine.job import Moment
from dlcore.recipe import Recipe
from pages.parts.panels import escape, seconds


class Result(NamedTuple):
    """How a run does on the validation samples, in words."""

    figure: str
    unit: str
    beside: str  # what it is worth


def result(run: Moment | None, recipe: Recipe) -> None:
    shown = measured(run, recipe)
    st.html(
        f'<p class="result"><b>{html.escape(shown.figure)}</b> {html.escape(shown.unit)}'
        f"<small>{html.escape(shown.beside)}</small></p>"
    )


def measured(run: Moment | None, recipe: Recipe) -> Result:
    """After the last whole epoch; before, what there is to compare it with."""
    known = run is not None and run.predicted is not None
    classes = len(recipe.task.classes)
    if classes:
        targets = run.targets if run is not None and run.targets is not None else np.arange(classes)
        guessing = f"guessing: {np.bincount(targets).max() / len(targets):.0%}"
        if not known:
            return Result("–", "right", guessing)
        wrong = int((run.predicted != run.targets).sum())
        return Result(f"{1 - wrong / len(targets):.1%}", "right", f"{wrong:,} of {len(targets):,} wrong · {guessing}")
    if not known:
        return Result("–", "off", "root mean square")
    guessing = f"guessing the mean: {_off(np.mean(run.targets, axis=0), run.targets):.3g}"
    return Result(f"{_off(run.predicted, run.targets):.3g}", "off", f"root mean square · {guessing}")


def sentence(run: Moment | None, recipe: Recipe) -> str:
    """What a person may look at next, as Markdown."""
    if run is None:
        thing = "a digit" if getattr(recipe.data.spec().inputs, "drawn", False) else "these data"
        return f"This network has never seen {thing}. Press **Start**, or change anything on the left first."
    if run.status == "finished":
        return f"Done in {seconds(run.elapsed)}."
    if not run.active or run.predicted is None:
        return ""
    epoch, classes = run.history.epochs[-1].epoch, recipe.task.classes
    if not classes:
        return f"Epoch {epoch}: it is {_off(run.predicted, run.targets):.3g} off."
    wrong = run.predicted != run.targets
    if not wrong.any():
        return f"Epoch {epoch}: it gets every validation sample right."
    pairs, counts = np.unique(np.stack([run.targets[wrong], run.predicted[wrong]], 1), axis=0, return_counts=True)
    is_, says = pairs[counts.argmax()]
    return f"Epoch {epoch}: it still takes {escape(classes[is_])} for {escape(classes[says])}."


def _off(predicted: np.ndarray, targets: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore"):  # of a run that diverges
        return float(np.sqrt(np.mean(np.square(predicted.astype(np.float64) - targets))))
