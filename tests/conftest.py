"""What all tests share; the user's own data and runs are never touched."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from dlcore.catalogue import devices
from dlcore.engine.conductor import Conductor
from dlcore.runs import saving
from tests import standin  # at once: see there

# The same examples everywhere and always: a test fails for who broke it, and on any machine, however slow.
hypothesis.settings.register_profile(
    "dlcore",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("dlcore")


def pytest_configure(config: pytest.Config) -> None:
    # Not a fixture: test modules import dlcore before any fixture runs.
    folder = tempfile.TemporaryDirectory(prefix="dlcore-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["DLCORE_DATA"] = folder.name
    os.environ["DLCORE_RUNS"] = str(Path(folder.name) / "runs")
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)  # threads of several processes would wait for each other


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """AppTest leaves the page that it ran as `__main__`, which processes that a later test starts would run again."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def conductor() -> Iterator[Conductor]:
    """One that keeps nothing."""
    conductor = Conductor(threads=1)  # small networks: more threads would only wait for each other
    yield conductor
    conductor.close()


@pytest.fixture(params=["cpu", "stand-in", *devices.available()[1:]])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the recipe says, by turns: the CPU, a stand-in for a GPU, and what else this machine has. Name it first, so
    that it is there as long as the conductor is.
    """
    if request.param == "stand-in":
        standin.stand_in(monkeypatch)
        return standin.RECIPES_SAY
    return request.param


@pytest.fixture
def quick_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "EVERY", 0.1)  # there is little to save, and nobody to be spared
    monkeypatch.setattr(saving, "GAP", 0.01)
