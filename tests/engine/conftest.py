"""Small data, a run that is broken off, and one that others branch off."""

import pytest

from dlcore.engine import loading
from tests.running import DROPPING, LONG, Breaks, few_digits, finish


@pytest.fixture
def small_digits(monkeypatch):
    small, original = few_digits(), loading.load
    monkeypatch.setattr(
        loading, "load", lambda data, *rest: small if data.kind == "mnist-5k" else original(data, *rest)
    )


@pytest.fixture
def breaks(monkeypatch):
    return Breaks(monkeypatch)


@pytest.fixture
def parent(conductor):
    """A finished run of six epochs, of a conductor that keeps it."""
    job = conductor.submit("parent", DROPPING)
    finish(job)
    assert job.wait_saved(LONG)
    return job
