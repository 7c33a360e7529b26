"""The view Blame: asked for one mistake at a time, and shown with the training samples either way."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.helpers import LONG, press, seen, well
from tests.pages.views.showing import Film, filmed, paused

pytestmark = pytest.mark.usefixtures("own_process")
ASK = "What pulled it there?"


def _page(index: int) -> None:
    from pages.parts.state.process import jobs
    from pages.parts.views.blame import blame
    from pages.parts.views.subject import Subject

    blame(Subject(jobs()[-1]), index)


def shown(index: int = 0) -> AppTest:
    return well(AppTest.from_function(_page, default_timeout=LONG, kwargs={"index": index}).run())


@pytest.mark.parametrize("name", ["simplenet", "two-moons", "linear-regression", "row-lstm"])
def test_training_samples_either_way_are_shown_once_a_person_asks(monkeypatch, name):
    job = paused(name)
    filmed(monkeypatch, job.recipe, 3)
    at = shown()
    assert "Pruthi" not in seen(at)
    press(at, ASK)
    assert "Pruthi" in seen(at)
    assert "over 3 frames" in seen(at)
    assert "Pulled it to this mistake" in seen(at)


def test_another_mistake_is_asked_for_anew(monkeypatch):
    job = paused("two-moons")
    filmed(monkeypatch, job.recipe, 2)
    at = press(shown(), ASK)
    assert not at.button
    assert [button.label for button in shown(1).button] == [ASK]


def test_without_a_film_nobody_is_blamed(monkeypatch):
    paused("two-moons")
    monkeypatch.setattr("pages.parts.views.subject.film_of", lambda run: Film())
    assert "no frames are kept" in seen(press(shown(), ASK))
