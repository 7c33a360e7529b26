"""Surveys: landscapes, computed by a thread of their own, so that no other question waits for one.

They are kept for all tabs. One that nobody looks at any more ends.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import streamlit as st

from dlcore.inside.errors import LookError
from dlcore.inside.landscape import Landscape
from dlcore.runs.store import StoreError

KEPT = 16
UNSEEN = 6.0  # seconds after the last look; the slowest page looks every other second


@dataclass(eq=False)
class Survey:
    """A landscape that comes into being. Its thread alone writes `landscape`, pages the rest."""

    landscape: Landscape | None = None  # as far as it is known
    looked: float = field(default_factory=time.monotonic)
    cancelled: bool = False  # by a person, or because nobody looked
    work: Future | None = None

    @property
    def over(self) -> bool:
        return self.work is not None and self.work.done()

    @property
    def sentence(self) -> str:
        """Why there is none, if so."""
        error = self.work.exception() if self.over else None
        if isinstance(error, LookError | StoreError | RuntimeError):
            return str(error).splitlines()[0] if str(error) else "It cannot be computed."
        if error:
            raise error
        return ""


class _Surveys:
    def __init__(self):
        self.thread = ThreadPoolExecutor(1, "landscape")
        self.kept: OrderedDict[Hashable, Survey] = OrderedDict()
        self.lock = threading.Lock()


@st.cache_resource(show_spinner=False)
def _surveys() -> _Surveys:
    return _Surveys()


def survey(about: Hashable) -> Survey | None:
    """What was begun of this, by whichever tab; to be called by whoever looks at it."""
    surveys = _surveys()
    with surveys.lock:
        found = surveys.kept.get(about)
        if found:
            surveys.kept.move_to_end(about)
            found.looked = time.monotonic()
    return found


def begin(about: Hashable, make: Callable[[], Iterator[Landscape]]) -> Survey:
    """Have it computed, from its beginning."""
    surveys, found = _surveys(), Survey()
    with surveys.lock:
        surveys.kept[about] = found
        while len(surveys.kept) > KEPT:
            surveys.kept.popitem(last=False)[1].cancelled = True
    found.work = surveys.thread.submit(_compute, found, make)
    return found


def forget(about: Hashable) -> None:
    """Cancel it, and begin anew when it is asked for again."""
    surveys = _surveys()
    with surveys.lock:
        if found := surveys.kept.pop(about, None):
            found.cancelled = True


def _compute(found: Survey, make: Callable[[], Iterator[Landscape]]) -> None:
    import torch

    torch.set_num_threads(1)
    if found.cancelled:
        return
    for landscape in make():
        found.landscape = landscape
        found.cancelled |= time.monotonic() - found.looked > UNSEEN
        if found.cancelled:
            return
