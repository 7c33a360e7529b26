"""Apart: what needs no network and takes seconds is computed by a thread of its own; looking goes on meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import streamlit as st


@st.cache_resource(show_spinner=False)
def _thread() -> ThreadPoolExecutor:
    """One, so that it takes one core at most."""
    return ThreadPoolExecutor(1, "apart")


def apart(function: Callable[[], Any]) -> Future:
    """What `function` gives, when its turn has come."""
    return _thread().submit(function)
