import gc
import weakref
from collections.abc import Iterator

import pytest

from pages.parts import tending


class Session:
    """Holds itself, as one of Streamlit's does."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def collecting() -> Iterator[None]:
    gc.disable()  # what goes, goes by the tending alone
    yield
    gc.unfreeze()
    gc.enable()


def test_what_holds_itself_is_let_go_at_every_round(collecting, monkeypatch):
    rounds = []

    def sleep(seconds: float) -> None:
        rounds.append((seconds, [closed() is None for closed in sessions]))
        sessions.append(weakref.ref(Session()))
        if len(rounds) == 4:
            raise InterruptedError

    sessions: list[weakref.ref] = []
    monkeypatch.setattr(tending.time, "sleep", sleep)
    with pytest.raises(InterruptedError):
        tending._tend()
    assert rounds == [(tending.EVERY, [True] * number) for number in range(4)]


def test_it_begins_once_in_a_process(monkeypatch):
    begun = []
    monkeypatch.setattr(tending.threading.Timer, "start", lambda timer: begun.append((timer.interval, timer.daemon)))
    tending.tend.cache_clear()
    tending.tend()
    tending.tend()
    tending.tend.cache_clear()
    assert begun == [(tending.WARM_UP, True)]
