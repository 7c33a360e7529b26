"""Map: what a layer makes of the validation samples, in two or three dimensions; a point opens its sample."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from dlcore.catalogue.architectures import skeleton
from dlcore.catalogue.spec import Picture
from dlcore.inside.mistakes import samples
from dlcore.inside.projection import Activations, activations, along, called, fit, load, placed
from pages.parts.asking import Heard
from pages.parts.facts import table
from pages.parts.panels import escape
from pages.parts.state.apart import apart
from pages.parts.state.tab import keep, once, remember, set_widget, unless_set, widget
from pages.parts.views.projection_charts import map_figure
from pages.parts.views.samples import strip
from pages.parts.views.subject import Subject

METHODS = {"pca": "PCA", "t-sne": "t-SNE"}
HOW = {
    "pca": "A point is a validation sample, where this layer puts it; near each other lies what it takes for alike, "
    "crosses are what the network gets wrong. The axes are those along which the samples varied most when this was "
    "first looked at; distances can be compared ([PCA](https://en.wikipedia.org/wiki/Principal_component_analysis)).",
    "t-sne": "A point is a validation sample; its neighbours here are its neighbours in the layer, and crosses are "
    "what the network gets wrong. Groups tell something, their sizes and how far apart they are do not "
    "([Wattenberg et al. 2016](https://distill.pub/2016/misread-tsne/), "
    "[van der Maaten & Hinton 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)).",
}


class Choice(NamedTuple):
    """What is to be seen."""

    layer: str
    method: str
    dimensions: int


class Laid(NamedTuple):
    """A map of t-SNE, and the next one, on its way."""

    about: Any = None  # what `points` are a map of
    points: np.ndarray | None = None
    coming: tuple[Any, Future] | None = None


def show(subject: Subject, key: str = "projection") -> bool:
    """Whether an answer is still on its way. `key`: of the container, where two stand side by side."""
    with st.container(key=key):
        load()  # here, and not in the thread that trains
        choice, follow = _choose(subject, key)
        heard = _hear(subject, choice.layer, follow, key)
        waits = bool(heard.coming)
        if heard.answer:
            waits = _draw(subject, choice, heard, key) or waits
        if heard.sentence:
            st.caption(escape(heard.sentence))
        return waits


def _choose(subject: Subject, key: str) -> tuple[Choice, bool]:
    recipe, number = subject.run.recipe, subject.run.number
    make = lambda: called(skeleton(recipe.model, recipe.inputs, recipe.outputs))  # noqa: E731
    words = once(f"{key}/layers", (recipe.model, recipe.inputs, recipe.outputs), make)
    names = list(words)
    if widget(f"{key}-layer", names[0]) not in names:  # it was chosen of another network
        set_widget(f"{key}-layer", names[-2:][0])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        about = "Whose answers are laid out, in the order in which they stand in the network."
        start = unless_set(f"{key}-layer", index=len(names[:-2]))
        shown = {"format_func": words.get, "key": f"{key}-layer", "help": about, "width": 200}
        layer = st.selectbox("Layer", names, **shown, **start)
        about = "PCA turns the layer's space until most is seen; t-SNE keeps neighbours together, and takes seconds."
        method = st.segmented_control(
            "Laid out by", list(METHODS), default="pca", required=True, format_func=METHODS.get, key=f"{key}-method",
            help=about,
        )  # fmt: skip
        dimensions = st.segmented_control("Dimensions", [2, 3], default=2, required=True, key=f"{key}-dimensions")
        choice = Choice(layer, method, dimensions)
        place = f"{key}/laid/{number}/{choice}" if method == "t-sne" else f"{key}/axes/{number}/{layer}"
        about = "Forget where the points were, or which axes were fitted first."
        st.button("Lay out anew", on_click=lambda: keep(place, None), help=about, key=f"{key}-anew")
        live = subject.epoch is None and subject.run.active
        about = "Look again after each epoch; otherwise the map stays as it is."
        follow = live and st.toggle("Follow the training", key=f"{key}-follow", help=about)
    return choice, follow or not live


def _hear(subject: Subject, layer: str, follow: bool, key: str) -> Heard:
    """The activations: of a run under way those of the first look, unless it is followed, and then once an epoch."""
    run = subject.run
    at = (run.number, subject.epoch, layer, len(run.history.epochs) if follow else None)
    before, heard = remember(f"{key}/heard", (None, None))
    if run.active and before == at:
        return heard
    heard = subject.hear(key, lambda network: activations(network, layer), about=layer)
    if heard.answer and not heard.sentence and not heard.coming:
        keep(f"{key}/heard", (at, heard))
    return heard


def _draw(subject: Subject, choice: Choice, heard: Heard, key: str) -> bool:
    found: Activations = heard.answer
    place = f"{key}/{{}}/{subject.run.number}"
    waits, told = False, ""
    if choice.method == "pca":
        axes = remember(f"{place.format('axes')}/{found.layer}", None) or fit(found.values)
        keep(f"{place.format('axes')}/{found.layer}", axes)
        points, shares = along(found.values, axes)
        points = points[:, : choice.dimensions]
        titles = [f"axis {at + 1}, {share:.0%} of the variance" for at, share in enumerate(shares[: choice.dimensions])]
    else:
        laid = _laid_out(found, choice, heard.about, f"{place.format('laid')}/{choice}")
        points, waits, titles = laid.points, bool(laid.coming), [""] * choice.dimensions
        told = "Laying out …" if waits else ""
    if points is not None:
        what = (heard.about, choice, id(points) if choice.method == "t-sne" else id(axes))
        figure = once(f"{key}/figure", what, lambda: map_figure(found, points, titles))
        pick = lambda: _pick(key)  # noqa: E731
        st.plotly_chart(figure, key=f"{key}-map", on_select=pick, selection_mode="points")
    st.caption(" ".join(filter(None, [told, HOW[choice.method]])))
    return _opened(subject, found, key) or waits


def _laid_out(found: Activations, choice: Choice, about: Any, place: str) -> Laid:
    """The last map, and the next one begun where there are other activations."""
    laid: Laid = remember(place, None) or Laid()
    if laid.coming and laid.coming[1].done():
        laid = Laid(laid.coming[0], laid.coming[1].result())
    if not laid.coming and laid.about != about:
        before = laid.points if laid.points is not None and len(laid.points) == len(found.values) else None
        laid = laid._replace(coming=(about, apart(lambda: placed(found.values, before, choice.dimensions))))
    keep(place, laid)
    return laid


def _pick(key: str) -> None:
    points = (widget(f"{key}-map") or {}).get("selection", {}).get("points", [])
    if points and "customdata" in points[0]:
        picked = points[0]["customdata"]
        set_widget(f"{key}-sample", int(picked[0] if isinstance(picked, list) else picked))


def _opened(subject: Subject, found: Activations, key: str) -> bool:
    """The sample that was clicked, or that is named."""
    if (widget(f"{key}-sample") or 0) >= len(found.targets):
        set_widget(f"{key}-sample", None)
    about = "Click a point, or type its number."
    place = st.number_input("Sample", 0, len(found.targets) - 1, value=None, key=f"{key}-sample", help=about, width=140)
    if place is None:
        st.caption("Click a point to see its sample.")
        return False
    target, inputs = found.targets[place], subject.run.recipe.inputs
    is_ = f"is {found.classes[int(target)]}" if found.classes else f"is {target:.4g}"
    told = (f"sample {place}", is_, *(["the network gets it wrong"] if found.wrong[place] else []))
    heard = subject.hear(f"{key}/opened", lambda run: (place, samples(run, [place])), about=place)
    if heard.answer and heard.answer[0] == place:
        shown = heard.answer[1]
        if isinstance(inputs, Picture):
            st.html(strip(shown, [told]))
        else:
            names = getattr(inputs, "names", ())
            st.caption(escape(", ".join(told)))
            st.html(table(names, [[f"{value:.4g}" for value in row] for row in shown.reshape(-1, max(len(names), 1))]))
    return bool(heard.coming)
