"""Waiting for a condition: the only place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 60, every: float = 0.02) -> T:
    """Return the first true value of `condition()`; fail after `timeout` seconds, saying what was waited for.

    What a page shows is better waited for with Playwright's `expect(...)`, which knows why it is not there.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            name = getattr(condition, "__qualname__", condition)
            raise AssertionError(f"{name} was still {value!r} after {timeout:g} seconds")
        time.sleep(every)
    return value
