"""The network as one picture: what each layer makes of a sample, live, at any epoch, or before it has learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from dlcore.catalogue.spec import Features
from dlcore.inside.anatomy import Anatomy, anatomy, unit
from dlcore.recipe import Recipe
from pages.parts.asking import READING, Heard, Question, hear
from pages.parts.network_view import Chosen, chosen_on, network_view
from pages.parts.network_view.card import card
from pages.parts.panels import escape
from pages.parts.state.looking import ask_untrained
from pages.parts.state.process import engine_is_here
from pages.parts.state.tab import keep, remember
from pages.parts.views.subject import Subject

if TYPE_CHECKING:
    from torch import Tensor

    from dlcore.engine.training import Run

KEY, HEIGHT = "network-view", 360
HOW = "Blue is above zero, orange below; wider lines are stronger. Click a unit to open it. "
PLANE = f"{HOW}[A tile is a unit's answer all over the data.](https://playground.tensorflow.org)"
LAYERS = f"{HOW}[How to read it.](https://poloclub.github.io/cnn-explainer/)"


def show(
    subject: Subject | None,
    height: int = HEIGHT,
    recipe: Recipe | None = None,
    drawing: Tensor | None = None,
    key: str = KEY,
    lead: int | None = None,
) -> bool:
    """The network of a subject or, without one, that of a recipe before its first step; whether an answer is still on
    its way.

    drawing: a raw input (*shape), in place of the validation samples. key: another one for each view on a page. lead:
    the sample that was picked elsewhere on the page, which is shown until another one is chosen here.
    """
    asked = subject.run.recipe if subject else recipe
    with st.container(key=key):
        if asked is None or not engine_is_here():
            _blank(READING if asked else "No network yet.", height)
            return asked is not None
        chosen = chosen_on(f"{key}/canvas") or remember(key, Chosen(0, None))
        place = _led(key, chosen.sample if type(chosen.sample) is int else 0, lead)
        about = (place, None if drawing is None else drawing.numpy().tobytes())

        def sample(run: Run) -> int | Tensor:
            return place % max(1, len(run.data.validation)) if drawing is None else drawing

        heard = _hear(subject, asked, key, lambda run: anatomy(run, sample(run)), about)
        found: Anatomy | None = heard.answer or (remember(f"{key}/last", None) if heard.coming else None)
        if found is None:
            _blank(heard.sentence or READING, height)
            return bool(heard.coming)
        keep(f"{key}/last", found)
        chosen = network_view(found, key=f"{key}/canvas", height=height, chosen=chosen)
        keep(key, chosen)
        features = asked.data.spec().inputs
        st.caption(PLANE if isinstance(features, Features) and found.axes else LAYERS)
        if heard.sentence:
            st.caption(escape(heard.sentence))
    opened = _opened(chosen.opened, found)
    if not opened:
        return bool(heard.coming)
    with st.container(key=f"{key}-unit"):
        near = _hear(subject, asked, f"{key}/unit", lambda run: unit(run, *opened, sample(run)), (opened, about))
        if near.answer:
            st.html(card(near.answer, asked.task.classes))
        elif near.sentence:
            st.caption(escape(near.sentence))
    return bool(heard.coming or near.coming)


def _led(key: str, chosen: int, lead: int | None) -> int:
    """Which sample is shown: whichever was chosen last, on the view or elsewhere."""
    led, before = remember(f"{key}/led", (None, None))
    if lead is not None and lead != led:
        led, before = lead, chosen
        keep(f"{key}/led", (led, before))
    return chosen if led is None or chosen != before else led


def _hear(subject: Subject | None, recipe: Recipe, place: str, function: Callable[[Run], Any], about: Any) -> Heard:
    """Of a run that is about to start, what its fresh weights say, which are known: nothing goes and comes back."""
    coming = None
    if subject:
        run = subject.run
        heard = subject.hear(place, function, (about, run.status))  # what has no network yet may have one then
        if heard.answer is not None or not run.active or run.history.steps or run.branch:
            return heard
        coming = heard.coming
    question = Question((recipe, about), lambda: ask_untrained(recipe, function), READING)
    fresh = hear(f"{place}/untrained", {"recipe": question})["recipe"]
    return fresh._replace(coming=fresh.coming or coming)


def _blank(sentence: str, height: int) -> None:
    """In the view's place, so that nothing moves when it comes."""
    with st.container(height=height, border=False):
        st.caption(escape(sentence))


def _opened(opened: object, found: Anatomy) -> tuple[str, int] | None:
    """The unit that was clicked, if this network has it: another one may have been shown meanwhile."""
    match opened:
        case [str(layer), int(number)]:
            sizes = {one.name: one.units for one in found.layers} | {found.answer.layer: found.answer.units}
            return (layer, number) if 0 <= number < sizes.get(layer, 0) else None
    return None
