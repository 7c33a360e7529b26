"""The boundary: what a network makes of data that can be seen whole, of the same moment as the charts beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from dlcore.engine.job import Job, Moment
from dlcore.inside.fit import Fit, fit, visible
from dlcore.recipe import Recipe
from pages.parts.asking import READING, Question, hear
from pages.parts.live_chart import live_chart
from pages.parts.network_charts import fit_figure
from pages.parts.panels import escape
from pages.parts.state.looking import ask_untrained
from pages.parts.state.process import engine_is_here
from pages.parts.views.subject import Subject

if TYPE_CHECKING:
    from dlcore.engine.training import Run


class Seen(NamedTuple):
    """All that is drawn of a run, of one moment."""

    run: Moment
    fit: Fit | None = None  # of the moment, or of an earlier one if `note` says so
    note: str = ""
    epoch: int | None = None  # whose frame of the film it is; None for the run as it is now

    @property
    def subject(self) -> Subject:
        return Subject(self.run, self.epoch)


def see(job: Job, epoch: int | None = None) -> Seen:
    """The run as it is now, or as it was after an epoch of its film; where its data can be seen whole, as it was when
    the network answered.
    """
    run = job.now()
    if epoch is not None:
        return _see_frame(run, epoch)
    if not (job.ready and visible(run.recipe)):
        return Seen(run)
    ask = lambda: job.ask(lambda network: (job.now(), fit(network)))  # noqa: E731
    heard = hear("fit", {job.number: Question((run.number, run.history.steps), ask)})[job.number]
    then, picture = heard.answer or (run, None)
    if heard.sentence:
        of = f"The picture is of step {then.history.steps}." if picture else ""
        return Seen(run, picture, f"{heard.sentence} {of}")
    return Seen(run if then.history.steps == run.history.steps else then, picture)


def _see_frame(run: Moment, epoch: int) -> Seen:
    def answers(network: Run) -> tuple[np.ndarray, Fit | None]:
        from dlcore.engine.training import score  # PyTorch is here by then

        return score(network, network.data.validation).predicted, fit(network) if visible(network.recipe) else None

    heard = Subject(run, epoch).hear("frame", answers)
    predicted, picture = heard.answer or (run.predicted, None)
    return Seen(replace(run, predicted=predicted), picture, heard.sentence, epoch)


def boundary(seen: Seen | None, recipe: Recipe, height: int) -> bool:
    """Of a run, or else of the untrained network of a recipe; whether it is still to come."""
    picture, note, number, waits = None, "", 0, False
    if seen:
        picture, note, number = seen.fit, seen.note, seen.run.number
    elif engine_is_here():
        ask = lambda: ask_untrained(recipe, fit)  # noqa: E731
        heard = hear("fit/untrained", {"recipe": Question(recipe, ask, READING)})["recipe"]
        picture, note, waits = heard.answer, heard.sentence, bool(heard.coming)
        recipe = heard.about or recipe  # the picture may still be of the settings before
    with st.container(key="boundary"):
        if picture:
            live_chart(fit_figure(recipe, number, picture), key="fit", height=height)
        elif not note:
            note = "Once training starts: what the network makes of the data."
        if note:
            st.caption(escape(note))
    return waits
