"""The film: one slider over the epochs of a run, which leads all that is drawn. Its right end is the run as it is."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from dlcore.runs.film import Film
from dlcore.runs.records import Record
from pages.parts.frame import part
from pages.parts.panels import escape
from pages.parts.state.looking import film_of
from pages.parts.state.tab import keep, remember, set_widget, widget

LIVE = "live"
FRAME = 0.3  # seconds that a frame is shown while the film plays


class Shown(NamedTuple):
    """The moment of a run that a person chose to look at."""

    epoch: int | None = None  # None for the run as it is now
    again: float = 0.0  # seconds until the next frame; 0 while the film does not play


def choose_frame(run: Record | None, first: int | None = None, key: str = "film") -> Shown:
    """The slider, and Play; nothing of both where a run keeps no frames. `first`: the epoch that it begins with."""
    film = film_of(run) if run else Film()
    marks = epochs_to_choose(run, film) if len(film) > 1 else []
    with part(bool(marks), horizontal=True, vertical_alignment="bottom", key=key):
        if not marks:
            return Shown()
        place, options = f"{key}/{run.number}", [*marks, LIVE]
        playing = remember(f"{place}/playing", False)
        if playing:
            following = options[min(options.index(widget(place, LIVE)) + 1, len(options) - 1)]
            set_widget(place, following)
            playing = following != LIVE
            keep(f"{place}/playing", playing)
        elif widget(place) not in options:
            set_widget(place, first if first in options else LIVE)
        st.button(
            "Hold" if playing else "Play",
            icon=":material/pause:" if playing else ":material/play_arrow:",
            key=f"{place}/play",
            on_click=_toggle,
            args=(place, options, not playing),
            help="Go through the epochs from the one that is shown, or from the first.",
        )
        about = "The network as it was after an epoch: everything on this page follows."
        chosen = st.select_slider("Epoch", options, key=place, help=about)
    if chosen == LIVE:
        return Shown()
    if chosen not in film.epochs:  # not reached yet, or thinned out meanwhile
        st.caption(escape(f"Epoch {chosen} is not there yet: this is the run as it is now."))
        return Shown(None, FRAME * playing)
    return Shown(chosen, FRAME * playing)


def epochs_to_choose(run: Record, film: Film) -> Sequence[int]:
    """Of a run under way those that its film will have in the end: the slider stays as it is while they come."""
    if not run.active:
        return film.epochs
    last, every = run.recipe.epochs, film.distance(run.recipe.epochs)
    return sorted({*range(film.start, last + 1, every), last}) if every else film.epochs


def _toggle(place: str, options: Sequence, play: bool) -> None:
    if play and widget(place) == LIVE:
        set_widget(place, options[0])
    keep(f"{place}/playing", play)
