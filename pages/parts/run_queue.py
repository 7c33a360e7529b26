"""The queue: how many runs train at once, and those that wait their turn."""

import os
from collections.abc import Callable

import streamlit as st

from dlcore.engine.job import Job
from dlcore.runs.film import MOST
from dlcore.runs.records import checked_frames
from pages.parts.attempts import attempt
from pages.parts.panels import escape
from pages.parts.state.process import conductor, store
from pages.parts.state.tab import widget


def run_queue() -> None:
    """How many train at once, and those that wait their turn."""
    waiting = [jobs for group in conductor().queue if (jobs := [job for job in group if job.active])]
    with st.expander(f"Queue: {len(waiting)} waiting" if waiting else "Queue", key="queue", type="compact"):
        st.number_input(
            "At once",
            1,
            8,
            min(max(conductor().at_once or 8, 1), 8),
            key="queue/at_once",
            on_change=lambda: attempt(set_at_once, widget("queue/at_once")),
            width=130,
            help="How many runs, or races, train side by side; each of them is slower for it. The others wait here.",
        )
        st.number_input(
            "Cores a step",
            1,
            os.cpu_count() or 1,
            conductor().threads,
            key="queue/threads",
            on_change=lambda: attempt(set_threads, widget("queue/threads")),
            width=130,
            help="How many cores the arithmetic of a step may use, for runs that begin from now on. More is not always "
            "quicker: small networks, and those beside other programs, wait for the slowest core.",
        )
        st.number_input(
            "Frames of the film",
            0,
            MOST,
            conductor().frames,
            key="queue/frames",
            on_change=lambda: attempt(set_frames, widget("queue/frames")),
            width=130,
            help="After how many of its epochs, evenly spaced, a run keeps its weights, so that you can go back and "
            "look: for runs that begin or go on from now on, and in 64 MB at most; 0 keeps none.",
        )
        if not waiting:
            st.caption("Nothing waits.")
        with st.container(gap=None):
            for place, jobs in enumerate(waiting):
                waiting_row(jobs, place, len(waiting))


def waiting_row(jobs: list[Job], place: int, many: int) -> None:
    """A run, or the contestants of a race, that wait; and the buttons that move them."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        what = f"race of {len(jobs)}" if jobs[0].race else f"run {jobs[0].id}"
        names = escape(", ".join(job.name for job in jobs))
        st.markdown(f"{place + 1}\\. {names} · {what}", width="stretch")
        queue_button(jobs, "arrow_upward", "Up", lambda: conductor().move(jobs[0], -1), disabled=place == 0)
        queue_button(jobs, "arrow_downward", "Down", lambda: conductor().move(jobs[0], 1), disabled=place == many - 1)
        queue_button(jobs, "close", "Take out", lambda: [job.stop() for job in jobs])


def queue_button(jobs: list[Job], icon: str, what: str, act: Callable, disabled: bool = False) -> None:
    label = f":material/{icon}: {what} run {jobs[0].id}"
    st.button(label, key=f"queue/{jobs[0].id}/{icon}/icon", disabled=disabled, on_click=act, type="tertiary", help=what)


def set_at_once(number: int) -> None:
    conductor().set_at_once(number)
    store().set_setting("at_once", number)


def set_frames(number: int) -> None:
    conductor().frames = checked_frames(number)
    store().set_setting("frames", number)


def set_threads(number: int) -> None:
    conductor().threads = number
    store().set_setting("threads", number)
