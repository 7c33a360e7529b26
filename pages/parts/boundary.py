"""The boundary: what a network makes of data that can be seen whole, of the same moment as the charts beside it."""

from typing import NamedTuple

import streamlit as st

from dlcore.engine.job import Job, Moment
from dlcore.inside.fit import Fit, fit, visible
from pages.parts.asking import Question, hear
from pages.parts.live_chart import live_chart
from pages.parts.network_charts import fit_figure
from pages.parts.panels import escape


class Seen(NamedTuple):
    """All that is drawn of a run, of one moment."""

    run: Moment
    fit: Fit | None = None  # of the moment, or of an earlier one if `note` says so
    note: str = ""


def see(job: Job) -> Seen:
    """The run as it is now; where its data can be seen whole, as it was when the network answered."""
    run = job.now()
    if not (job.ready and visible(run.recipe)):
        return Seen(run)
    ask = lambda: job.ask(lambda network: (job.now(), fit(network)))  # noqa: E731
    heard = hear("fit", {job.number: Question((run.number, run.history.steps), ask)})[job.number]
    then, picture = heard.answer or (run, None)
    if heard.sentence:
        of = f"The picture is of step {then.history.steps}." if picture else ""
        return Seen(run, picture, f"{heard.sentence} {of}")
    return Seen(run if then.history.steps == run.history.steps else then, picture)


def boundary(seen: Seen | None, height: int) -> None:
    with st.container(key="boundary"):
        if seen and seen.fit:
            live_chart(fit_figure(seen.run, seen.fit), key="fit", height=height)
            note = seen.note
        else:
            note = seen.note if seen and seen.note else "Once training starts: what the network makes of the data."
        if note:
            st.caption(escape(note))
