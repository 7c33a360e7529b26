"""Layers: how well each layer of a network learns, now as a table, and over its film as small multiples."""

from functools import partial

import streamlit as st

from dlcore.inside.errors import LookError
from dlcore.inside.layers import Layer, health, next_step, over_time
from pages.parts.facts import table
from pages.parts.live_chart import live_chart
from pages.parts.panels import escape
from pages.parts.views.hearing import hear_each_epoch, hear_frames
from pages.parts.views.layer_charts import MEASURES, height, over_time_figure
from pages.parts.views.subject import Subject

HEAD = ("layer", "output", "parameters", "weights", "gradient", "update", "dead", "saturated", "dead units")
MOST_UNITS = 8  # dead units that are named
HOW = (
    "A row is a layer: the size of its weights, of the loss's gradient in them, and of a step's change as a share of "
    "them; then the shares of its units that say the same to every sample (dead) and that stand at an end of their "
    "range (saturated). Measured on training samples, dropout off."
)


def show(subject: Subject, key: str = "layers-health") -> bool:
    """Whether an answer is still on its way. `key`: of the container, where two stand side by side."""
    with st.container(key=key):
        try:
            now = _now(subject, key)
            return _film(subject, key) or now
        except LookError as error:
            st.caption(escape(str(error)))
            return False


def _now(subject: Subject, key: str) -> bool:
    run, film, epoch = subject.run, subject.film, subject.epoch
    if epoch is None and not run.active:
        epoch = len(run.history.epochs)  # whose frame tells what its last step moved
    if epoch is None:
        ask = lambda network: health(network, next_step(network))  # noqa: E731
    else:
        ask = partial(health, moved=film.at(epoch).moved if film and epoch in film.epochs else None)
    heard = hear_each_epoch(subject, f"{key}/now", ask, gradients=True)
    if heard.answer:
        st.html(table(HEAD, [_row(layer) for layer in heard.answer]))
        st.caption(HOW)
    if heard.sentence:
        st.caption(escape(heard.sentence))
    return bool(heard.coming)


def _row(layer: Layer) -> tuple[str, ...]:
    named = ", ".join(str(unit + 1) for unit in layer.dead_units[:MOST_UNITS])
    return (
        *(layer.name, " × ".join(map(str, layer.output)), f"{layer.parameters:,}"),
        *(f"{layer.weight_norm:.3g}", f"{layer.gradient_norm:.2e}"),
        "–" if layer.update_ratio is None else f"{layer.update_ratio:.2e}",
        *("–" if share is None else f"{share:.1%}" for share in (layer.dead, layer.saturated)),
        f"{named}, …" if len(layer.dead_units) > MOST_UNITS else named,
    )


def _film(subject: Subject, key: str) -> bool:
    """The layers over the frames."""
    if not subject.film:
        st.caption("Over time: of this run no frames are kept, so that only the present can be seen.")
        return False
    moments, coming, sentence = hear_frames(subject, f"{key}/film", over_time, gradients=True)
    titles = [measure.title for measure in MEASURES]
    title = st.segmented_control("Over the epochs", titles, default=titles[0], required=True, key=f"{key}-measure")
    measure = MEASURES[titles.index(title or titles[0])]
    if moments:
        figure = over_time_figure(subject.run.number, moments, measure)
        if figure["data"]:
            live_chart(figure, key=f"{key}-chart", height=height(len(figure["data"])))
        else:
            st.caption(
                "No layer has a bounded activation, so that none saturates."
                if measure.field == "saturated"
                else "Not known of this run."
            )
    st.caption(measure.how)
    if sentence:
        st.caption(escape(sentence))
    return coming
