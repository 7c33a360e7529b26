"""What tests of pages share: a process of their own, for all that the dashboard can see, and its figures."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from dlcore.catalogue.optimizers import SGD
from dlcore.engine.conductor import Conductor
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from pages.parts import asking, live_chart
from pages.parts.pace import FULL_SPEED
from pages.parts.state import process
from tests.pages.helpers import LONG
from tests.pages.kept_runs import entered
from tests.running import MOONS, changed


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Jobs belong to the process, which tests share: each has none at first, and an empty store. Runs do not take their
    time for anyone to watch.
    """
    monkeypatch.setenv("DLCORE_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(asking, "PATIENCE", LONG)  # however slow the machine, an answer comes with the page
    st.cache_resource.clear()
    process.chosen_in_any_tab()["pace"] = FULL_SPEED
    yield
    process.conductor().close()
    st.cache_resource.clear()


@pytest.fixture
def root(own_process: None, tmp_path: Path) -> Path:
    """Where that process keeps its runs."""
    return tmp_path / "runs"


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Conductor]:
    """Another process that trains, for all that the dashboard can see."""
    conductor = Conductor(threads=1, store=Store(root))
    yield conductor
    conductor.close()
    conductor.store.close()


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """The figures of the page by their keys, as the browser is sent them last."""
    sent, mount = {}, live_chart._mount

    def watched(*, key: str, data: dict, **how):
        if "figure" in data:
            sent[key] = json.loads(data["figure"])
        return mount(key=key, data=data, **how)

    monkeypatch.setattr(live_chart, "_mount", watched)
    return sent


@pytest.fixture
def zoo(root: Path) -> None:
    """1 Ada, 2 Bob, 3 Cyd: each found by something of its own."""
    entered(root, "Ada", tags=["sweep", "good"], note="A long\nstory")
    entered(root, "Bob", RECIPES["linear-regression"].recipe, status="failed", tags=["sweep"])
    entered(root, "Cyd", changed(MOONS, optimizer=SGD()), status="interrupted")
