"""What a browser tab remembers between runs of a page, and the values of its widgets."""

import time
from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from streamlit.runtime.state.session_state_proxy import get_session_state

from dlcore.engine.job import Job
from pages.parts.state.process import chosen_in_any_tab, runs_here

T = TypeVar("T")


def remember(key: str, default):
    """A value of this tab that outlives a visit to another page; set it with `keep`."""
    return st.session_state.get(f"kept/{key}", default)


def keep(key: str, value) -> None:
    st.session_state[f"kept/{key}"] = value


def is_news(key: str, within: float) -> bool:
    """Whether a click is not the same as one so few seconds before, which came twice; asked once for each."""
    now, last = time.monotonic(), remember(key, None)
    news = last is None or now - last > within
    if news:
        keep(key, now)
    return news


def once(key: str, about: object, make: Callable[[], T]) -> T:
    """What `make` gives, made anew only when it is about something else than at the last look."""
    kept = remember(key, (None, None))
    if kept[0] != about:
        kept = about, make()
        keep(key, kept)
    return kept[1]


def widget(key: str, default=None):
    """The value of a widget on this page, for its own callback."""
    return st.session_state.get(key, default)


def set_widget(key: str, value) -> None:
    """Give a widget a value, before it is made in this run of the page."""
    st.session_state[key] = value


def unless_set(key: str, **start) -> dict:
    """What a widget starts with, for its call; nothing where `set_widget` gave it a value that is on its way.

    It has to be said in every run: a browser that comes to draw a widget knows of its last message alone. Together with
    a value that was set, Streamlit complains of it.
    """
    return {} if get_session_state().is_new_state_value(key) else start


def choose_for_all(key: str, value) -> None:
    """`keep` what tabs that are opened later begin with, too."""
    keep(key, value)
    chosen_in_any_tab()[key] = value


def chosen_for_all(key: str, default):
    """What this tab chose, or else what any tab chose last."""
    return remember(key, chosen_in_any_tab().get(key, default))


def shown_run() -> Job | None:
    """The run that the Train page shows: the one that this tab showed or chose, while it is active; else the last one
    that began of those under way, whichever tab did it; else the one that was over last.
    """
    runs, chosen = runs_here(), remember("train/shown", 0)
    going = [job for job in runs if job.active]
    began = [job for job in going if job.status != "queued"]
    ended = [job for job in runs if job.ended and (job.ready or job.status != "stopped")]  # not in the queue
    over = sorted(ended, key=lambda job: job.ended)
    picked = [job for job in going if job.number == chosen]
    return next((jobs[-1] for jobs in (picked, began, over, going, runs) if jobs), None)
