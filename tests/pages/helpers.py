"""What tests do with a page that AppTest runs, and what they read of it."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.activations import Activation
from dlcore.engine.job import Job
from dlcore.recipe import Recipe
from dlcore.settings import choices, family_of
from pages.parts.state import process
from tests.running import settle
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
PAGES = ("train", "compare", "draw", "inside", "runs", "reference")
LONG = 120  # seconds
FAMILIES = {field.title: family_of(field) for field in Recipe.model_fields.values() if family_of(field)}
FAMILIES["Activation"] = choices(Activation)


def opened(page: str = "train", address: Mapping[str, str | list[str]] | None = None) -> AppTest:
    at = AppTest.from_file(ROOT / "dashboard.py", default_timeout=LONG)
    at.query_params.update(address or {})
    at.run()
    return at if page == "train" else go(at, page)


def go(at: AppTest, page: str) -> AppTest:
    return well(at.switch_page(f"pages/{page}.py").run())


def well(at: AppTest) -> AppTest:
    assert not at.exception, at.exception
    return at


def find(widgets, label: str):
    """The one widget with this label."""
    (found,) = [widget for widget in widgets if widget.label == label]
    return found


def choose(at: AppTest, label: str, option) -> AppTest:
    return well(find(at.selectbox, label).select(option).run())


def small(at: AppTest, epochs: int = 3) -> AppTest:
    """A run that takes a moment: two moons, few epochs."""
    choose(at, "Recipe", "two-moons")
    return well(find(at.number_input, "Epochs").set_value(epochs).run())


def press(at: AppTest, label: str) -> AppTest:
    return well(find(at.button, label).click().run())


def enabled(at: AppTest) -> set[str]:
    return {button.label for button in at.button if not button.disabled}


def told(at: AppTest) -> str:
    return " ".join(found.value for found in (*at.warning, *at.error))


def seen(at: AppTest) -> str:
    """All text of the page: prose, tables of our own, and the lines over progress bars."""
    words = [found.value for found in (*at.markdown, *at.caption, *at.info, *at.success, *at.error, *at.warning)]
    words += [found.proto.body for found in at.get("html")]
    words += [found.proto.text for found in at.get("progress")]
    return "\n".join(words)


def listen(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that are asked something from now on, as often as they are."""
    asked, ask = [], Job.ask
    monkeypatch.setattr(Job, "ask", lambda job, function, **how: asked.append(job) or ask(job, function, **how))
    return asked


def over() -> bool:
    return bool(process.jobs()) and not any(job.active for job in process.jobs())


def under_way(at: AppTest, epochs: int = 100_000) -> Job:
    """A run of two moons, paused after its first epoch, whose page is drawn."""
    press(small(at, epochs), "Start")
    job = process.jobs()[-1]
    wait_until(lambda: job.history.epochs, LONG)
    job.pause()
    settle(job)
    well(at.run())
    return job


@contextlib.contextmanager
def busy(job: Job) -> Iterator[None]:
    """Somebody has the training thread to themselves, as a long step would."""
    free, there = threading.Event(), threading.Event()
    job.ask(lambda run: (there.set(), free.wait(LONG)))
    assert there.wait(LONG)
    try:
        yield
    finally:
        free.set()
