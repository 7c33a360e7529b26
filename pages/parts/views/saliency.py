"""Saliency: what an answer hangs on, by four methods, each beside the same network with random weights."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dlcore.catalogue.spec import Features
from dlcore.inside.saliency import Saliency, load, methods, saliency
from pages.parts.live_chart import live_chart
from pages.parts.panels import escape
from pages.parts.state.tab import keep, remember
from pages.parts.views.hearing import hear_each_epoch
from pages.parts.views.saliency_pictures import MOST_BARS, bars_figure, maps_html
from pages.parts.views.subject import Subject

MUCH_ALIKE = 0.7  # rank correlation from which on a map is called that of its input
PREDICTED = "its answer"
HOW = {
    "gradient": "How much the output would change with each part, times how much of it there is "
    "([Shrikumar et al. 2016](https://arxiv.org/abs/1605.01713)). A small change alone: where the network is sure, it "
    "may miss what matters.",
    "integrated": "What each part adds on the way from nothing to this input; all parts together are what the output "
    "gained ([Sundararajan et al. 2017](https://arxiv.org/abs/1703.01365)). What is black adds nothing, even where "
    "its being black matters.",
    "grad-cam": "Where the last convolution saw what counts for this class "
    "([Selvaraju et al. 2017](https://arxiv.org/abs/1610.02391)). As coarse as that layer's maps are.",
    "occlusion": "How far the output falls when each place is covered "
    "([Zeiler & Fergus 2014](https://arxiv.org/abs/1311.2901)). What is covered looks like nothing that the network "
    "has seen, and two places that stand in for each other both seem idle.",
}
SOURCE = "[Adebayo et al. 2018](https://arxiv.org/abs/1810.03292)"


def show(subject: Subject, key: str = "saliency", raw: np.ndarray | None = None) -> bool:
    """Whether an answer is still on its way. `raw`: a drawing (1, 28, 28) that is explained, in place of a sample.

    `key`: of the container, where two stand side by side.
    """
    with st.container(key=key):
        recipe = subject.run.recipe
        known = methods(recipe.inputs)
        if not known:
            st.caption("Tokens are names without more or less; saliency is for pictures, series and features.")
            return False
        load()  # here, and not in the thread that trains
        with st.container(horizontal=True, vertical_alignment="bottom"):
            method = st.segmented_control(
                "Method", list(known), default=next(iter(known)), required=True, format_func=known.get,
                key=f"{key}-method", help="How it is found out what an answer hangs on.",
            )  # fmt: skip
            explain = _choose_class(recipe.task.classes, key)
            place = _choose_sample(subject, key) if raw is None else None
        of = place if raw is None else raw
        about = (method, explain, place if raw is None else raw.tobytes())
        ask = lambda run: saliency(run, method, of, explain)  # noqa: E731
        heard = hear_each_epoch(subject, key, ask, about, gradients=True)
        if heard.answer:
            keep(f"{key}/samples/{subject.run.number}", heard.answer.samples)
            _draw(subject, heard.answer, key)
        if heard.sentence:
            st.caption(escape(heard.sentence))
        return bool(heard.coming)


def _choose_class(classes: tuple[str, ...], key: str) -> int | None:
    if not classes:
        return None
    told = lambda place: PREDICTED if place is None else escape(classes[place])  # noqa: E731
    about = "What the parts speak for: the class that the network answers, or another one."
    return st.selectbox(
        "Explain", [None, *range(len(classes))], format_func=told, key=f"{key}-class", help=about, width=160
    )


def _choose_sample(subject: Subject, key: str) -> int:
    count = remember(f"{key}/samples/{subject.run.number}", None)
    return st.number_input(
        "Sample", 0, count - 1 if count else None, key=f"{key}-sample", help="Of the validation samples.", width=140
    )


def _draw(subject: Subject, found: Saliency, key: str) -> None:
    task, inputs = subject.run.recipe.task, subject.run.recipe.inputs
    names = task.classes or task.names
    if task.classes:
        top = int(np.argmax(found.answers))
        is_ = "" if found.target is None else f"is {names[int(found.target)]}, "
        told = f"{is_}the network says {names[top]} ({found.answers[top]:.0%} sure)"
    else:
        is_ = "" if found.target is None else f"is {found.target:.4g}, "
        told = f"{is_}the network says {found.answers[0]:.4g}"
    if isinstance(inputs, Features):
        bars = min(len(inputs.names), MOST_BARS)
        st.caption(escape(told))
        live_chart(bars_figure(found, inputs.names), key=f"{key}-bars", height=130 + 44 * bars)
    else:
        st.html(maps_html(found, told))
    st.caption(f"Blue speaks for **{escape(names[found.explained])}**, orange against it. {HOW[found.method]}")
    st.caption(_believe(found))


def _believe(found: Saliency) -> str:
    """When not to."""
    if found.alike is None:
        return f"There is nothing to compare with the same network with random weights ({SOURCE})."
    alike = f"rank correlation {found.alike:.2f}"
    if found.alike >= MUCH_ALIKE:
        return (
            f"**Do not believe it:** a network that has learned nothing gives much the same map ({alike}), so that it "
            f"tells of the input and not of what was learned ({SOURCE})."
        )
    return (
        f"A network that has learned nothing gives another map ({alike}): this one hangs on what was learned. Where "
        f"both look alike, do not believe it ({SOURCE})."
    )
