"""Tending: what the server does beside its pages. It makes ready for the first run, and clears away what tabs that were
closed leave behind.

A session of Streamlit holds itself: it keeps an event loop, and with it three files, until a full garbage collection,
which no longer comes after each script (`.streamlit/config.toml`). Once what Python has imported is set apart, a
collection takes a few milliseconds instead of a few hundred.
"""

import atexit
import functools
import gc
import threading
import time

from pages.parts.state.process import bring_engine

WARM_UP = 10  # seconds after the first page: whoever starts or looks around at once is not held up
EVERY = 60  # seconds between two collections


@functools.cache
def tend() -> None:
    """Begin, once in a process."""
    bring_engine()
    later = threading.Timer(WARM_UP, _tend)
    later.daemon = True
    later.start()


def _tend() -> None:
    from dlcore.engine.loading import prepare  # PyTorch may still be on its way

    prepare()
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or libraries would complain at the end that theirs was left behind
    while True:
        time.sleep(EVERY)
        gc.collect()
