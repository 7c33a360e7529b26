"""Problems: what keeps a recipe from running, below the settings that it is about, with a button that ends it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dlcore.recipe import Recipe, field_at
from dlcore.settings import Problem, family_of
from pages.parts.facts import text
from pages.parts.panels import escape

MOST_PROBLEMS = 10  # that are listed: a link may ask for anything

Mend = Callable[[Mapping[str, Any]], None]  # makes the changes that end a problem


class Place(NamedTuple):
    """Where there is room for the problems of some settings."""

    title: str  # of the setting, or of the group
    paths: tuple[str, ...]  # dotted; what is below them belongs here, too
    room: DeltaGenerator


def problem_list(problems: Sequence[Problem], why: str = "Before this can start:", mend: Mend | None = None) -> None:
    """`mend`: what a button beside them does that ends a problem, for those that know how."""
    if problems:
        lines = [f"- {_sentence(problem)}" for problem in problems[:MOST_PROBLEMS]]
        lines += [f"- and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        st.warning("\n".join([why, "", *lines]))
        if mend:
            _buttons(problems[:MOST_PROBLEMS], mend)


def tell_in_place(problems: Sequence[Problem], places: Sequence[Place], mend: Mend) -> str:
    """Each problem below the setting that it is about. Returns where that is, as a sentence for Markdown; empty when
    there is none.
    """
    homes = [_home(problem, places) for problem in problems]
    for place in places:
        own = [problem for problem, home in zip(problems, homes, strict=True) if home is place]
        if own:
            with place.room.container():
                st.warning("\n\n".join(map(_sentence, own)))
                _buttons(own, mend)
    titles = [f"**{place.title}**" for place in places if place in homes]
    return f"This cannot start yet: see {' and '.join(titles)} on the left." if titles else ""


def _home(problem: Problem, places: Sequence[Place]) -> Place:
    """The place of the nearest setting; of what is no setting at all, the first."""
    fits = {path: place for place in places for path in place.paths if f"{problem.setting}.".startswith(f"{path}.")}
    return fits[max(fits, key=len)] if fits else places[0]


def _sentence(problem: Problem) -> str:
    return escape(" ".join(str(problem).split()))


def _buttons(problems: Sequence[Problem], mend: Mend) -> None:
    with st.container(horizontal=True):
        for problem in problems:
            if problem.fix:
                key, given = f"mend/{problem.setting}", (problem.fix,)
                st.button(_mending(problem.fix), icon=":material/build:", key=key, on_click=mend, args=given)


def _mending(fix: Mapping[str, Any]) -> str:
    """`Switch to MLP`, `Set batch size to 65`."""
    words = []
    for path, value in fix.items():
        family, kind = path.removesuffix(".kind"), path.endswith(".kind")
        if kind:
            words.append(f"switch to {family_of(field_at(Recipe(), family))[value].title}")
        else:
            words.append(f"set {path.rpartition('.')[2].replace('_', ' ')} to {escape(text(value))}")
    told = " and ".join(words)
    return told[0].upper() + told[1:]
