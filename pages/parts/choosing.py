"""Choosing among runs: this process's jobs and what the store has, a run that is both only once."""

import contextlib
from collections.abc import Callable, Iterable, Sequence

import streamlit as st

from dlcore.engine.job import Job
from dlcore.runs.records import Record
from dlcore.runs.store import StoreError
from pages.parts.panels import escape
from pages.parts.state.process import jobs, lately, store
from pages.parts.state.tab import keep, remember

MOST = 4  # more side by side than anyone can tell apart


def offered(job_fits: Callable[[Job], bool], row_fits: Callable[[dict], bool], rows: Sequence[dict]) -> dict[int, str]:
    """What the runs that fit are called, by number, newest first; `row_fits` is asked about `kept_rows`, since opening
    thousands of runs would take long.
    """
    names = {row["number"]: row["name"] for row in rows if row_fits(row)}
    names |= {job.number: job.name for job in jobs() if job_fits(job)}
    return {number: f"{names[number]} · run {number}" for number in sorted(names, reverse=True)}


def choose_runs(
    label: str, offered: dict[int, str], first: list[int], key: str, help: str, most: int = MOST
) -> dict[int, str]:
    """Some of the runs that are offered; those of `first` until someone chooses. Tells of what cannot be read."""
    before = [number for number in remember(key, []) if number in offered]
    chosen = st.multiselect(
        label,
        list(offered),
        default=before or first,
        key=key,
        format_func=offered.get,
        max_selections=most,
        placeholder="Choose runs",
        select_all=False,
        filter_mode="contains",  # and the newest stay first
        help=f"{help} Up to {most}.",
    )
    keep(key, chosen)
    readable = {}
    for number in chosen:
        try:
            readable[lately(number).number] = offered[number]
        except StoreError as error:
            st.warning(escape(str(error)))
    return readable


def known(numbers: Iterable[int]) -> list[Record]:
    """The runs as they are now, less those that cannot be read."""
    found = []
    for number in numbers:
        with contextlib.suppress(StoreError):
            found.append(lately(number))
    return found


def kept_rows() -> list[dict]:
    """What the store has in its table of runs, newest first. Tells of what cannot be read."""
    try:
        return store().rows() if store() else []
    except StoreError as error:
        st.warning(escape(str(error)))
        return []
