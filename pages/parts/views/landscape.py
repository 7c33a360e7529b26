"""Landscape: the loss around a run, from above or as a surface, with the path that it took, and those of its rivals."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np
import streamlit as st

from dlcore.inside.errors import LookError
from dlcore.inside.landscape import Course, Landscape, Plane, Still, ground, kept_frames, landscape, still
from dlcore.runs.records import Record
from pages.parts.landscape_charts import contour_figure, surface_figure
from pages.parts.live_chart import live_chart
from pages.parts.panels import escape
from pages.parts.run_looks import called
from pages.parts.state.looking import film_of
from pages.parts.state.process import lately, store
from pages.parts.state.surveys import Survey, begin, forget, survey
from pages.parts.state.tab import keep, remember, widget
from pages.parts.views.subject import Subject

HEIGHT = 460
PLANES = {"film": "Along the film", "random": "Random directions"}
LOOKS = {"contour": "From above", "surface": "Surface"}
READ = {
    "film": "Each place is a network whose weights differ along the two directions in which training moved most; the "
    "colour is its loss, the line the way that training took, from the ring to the star.",
    "random": "Each place is a network whose weights were moved along two random directions, each filter by as much as "
    "its own length; the colour is its loss, and (0, 0) is the run.",
}
SOURCE = "[Li et al. 2018](https://arxiv.org/abs/1712.09913)"


class Choice(NamedTuple):
    """What is to be seen."""

    plane: Plane
    seed: int  # of random directions
    runs: tuple[int, ...]  # whose paths are drawn, the run itself first


def show(subject: Subject, key: str = "landscape") -> bool:
    """Draw the view in a container of this key, once on a page; whether an answer is still on its way."""
    with st.container(key=key):
        rivals = _rivals(subject.run)
        choice, look = _choose(subject.run, rivals)
        if choice.plane == "film":  # which is the same from every epoch
            looked_at, subject = subject.epoch, subject._replace(epoch=None)
        else:
            looked_at = subject.epoch
        about = _about(subject, choice)
        found = survey(about)
        if found and found.cancelled and remember("landscape/cancelled", None) != about:
            forget(about)  # nobody looked for a while, and now somebody does
            found = None
        if found is None:
            return _begin(subject, choice, about)
        coming = not found.over  # before it is drawn: what is over is drawn whole
        names = {run.number: called(run) for run in (subject.run, *rivals)}
        if found.sentence:
            st.info(escape(found.sentence), icon=":material/info:")
        elif found.landscape and np.isfinite(found.landscape.loss).any():
            draw = contour_figure if look == "contour" else surface_figure
            live_chart(draw(found.landscape, names, looked_at), key=f"landscape-{look}", height=HEIGHT)
            st.caption(_read(found.landscape))
        _progress(found, about)  # below, so that nothing moves when it goes
        return coming


def _choose(run: Record, rivals: list[Record]) -> tuple[Choice, str]:
    """The widgets."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plane = _switch("Plane", "plane", PLANES, "Which two of the many directions in the space of weights are shown.")
        look = _switch("Draw as", "look", LOOKS, "Lines of equal loss, or the loss as height.")
        seed = remember("landscape/seed", 0)
        if plane == "random":
            st.button(
                "Other directions",
                icon=":material/casino:",
                on_click=lambda: keep("landscape/seed", seed + 1),
                help="Draw two others at random: what is seen in all of them is so in most directions.",
            )
        together = bool(rivals) and st.toggle(
            f"With its race ({len(rivals)} more)",
            value=remember("landscape/race", True),
            key="landscape/with-race",
            on_change=lambda: keep("landscape/race", widget("landscape/with-race")),
            help="All contestants that differ in how they learn alone, on one plane.",
        )
    numbers = (run.number, *(rival.number for rival in rivals)) if together else (run.number,)
    return Choice(plane, seed if plane == "random" else 0, numbers), look


def _switch(label: str, name: str, options: dict[str, str], help: str) -> str:
    chosen = st.segmented_control(
        label,
        list(options),
        default=remember(f"landscape/{name}", next(iter(options))),
        key=f"landscape/{name}-of",
        required=True,
        format_func=options.get,
        help=help,
    )
    keep(f"landscape/{name}", chosen)
    return chosen


def _rivals(run: Record) -> list[Record]:
    """The others of a run's race that stand on the same ground."""
    numbers = store().race(run.race) if run.race and store() else []
    others = [lately(number) for number in numbers if number != run.number]
    return [other for other in others if ground(other.recipe) == ground(run.recipe)]


def _about(subject: Subject, choice: Choice) -> Hashable:
    """What a landscape hangs on. One of a run under way is of the moment at which a person asked for it."""
    place = (subject.run.number, subject.epoch, choice)
    if subject.epoch is None and subject.run.active:
        return (*place, remember(f"landscape/asked/{place}", None))
    return (*place, subject.run.history.steps)


def _begin(subject: Subject, choice: Choice, about: Hashable) -> bool:
    """Have it computed: at once where nothing trains, else when a person asks."""
    place, live = about[:-1], subject.epoch is None and subject.run.active
    if live and about[-1] is None:
        st.caption("The landscape of a run under way is of one moment, and takes some seconds.")
        ask = lambda: keep(f"landscape/asked/{place}", subject.run.history.steps)  # noqa: E731
        st.button("Compute it", icon=":material/landscape:", on_click=ask)
        return False
    try:
        heard = subject.hear("landscape", still, about)
    except LookError as error:
        st.info(escape(str(error)), icon=":material/info:")
        return False
    if heard.answer and not heard.coming and heard.about[1] == about:
        begin(about, lambda: _make(heard.answer, choice))
        return True
    st.caption(escape(heard.sentence or "Fetching the network …"))
    return bool(heard.coming)


def _make(centre: Still, choice: Choice) -> Iterator[Landscape]:
    """On the surveys' thread: films are read there, too."""
    courses = []
    for number in choice.runs:
        run = lately(number)
        frames = film_of(run) or (kept_frames(store(), number) if store() else [])
        courses.append(Course(number, run.recipe, frames))
    return landscape(centre, courses, choice.plane, choice.seed)


def _progress(found: Survey, about: Hashable) -> None:
    """How far it is, with Cancel; or how to begin anew."""
    live = len(about) > 3 and about[1] is None and lately(about[0]).active
    with st.container(horizontal=True, vertical_alignment="center", key="landscape-progress"):
        done = found.landscape.done if found.landscape else 0.0
        if not found.over:
            st.progress(min(done, 1.0), text=f"{done:.0%} of the landscape" if done else "waiting for its turn")
            st.button("Cancel", on_click=lambda: _cancel(found, about), help="Stop here; what is drawn stays.")
        elif found.cancelled:
            st.caption(f"Cancelled after {done:.0%}; the grid is coarser than it could be.")
            st.button("Compute it whole", on_click=lambda: forget(about))
        elif live:
            st.caption(f"As it was after step {about[-1]:,}.")
            again = lambda: keep(f"landscape/asked/{about[:-1]}", lately(about[0]).history.steps)  # noqa: E731
            st.button("Compute it anew", on_click=again)


def _cancel(found: Survey, about: Hashable) -> None:
    found.cancelled = True
    keep("landscape/cancelled", about)


def _read(found: Landscape) -> str:
    """How to read the picture, and what it hides."""
    held = ""
    if found.variance is not None:
        share = f"{found.variance:.0%}" if found.variance >= 0.01 else "less than 1%"
        held = f"**The plane holds {share} of the path's variance**"
        held += ". " if share == "100%" else "; the rest lies in directions that are not shown. "
    beside = "Point at an epoch for its true loss beside the plane's. " if found.paths else ""
    return f"{held}{READ[found.plane]} {beside}Mean over {found.samples} training samples. {SOURCE}."
