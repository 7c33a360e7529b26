"""Every page runs, can be left for any other, and shows names from outside as they are."""

import json
import re
from collections.abc import Iterable, Iterator

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.spec import Classes
from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from pages.parts.state import process
from tests.pages.helpers import LONG, PAGES, go, opened, well
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs(page):
    well(opened(page))


def test_a_page_can_be_left_for_any_other():
    at = opened()
    for page in (*PAGES, *reversed(PAGES)):
        go(at, page)


HOSTILE = "![i](http://evil.example/a) <img src=http://evil.example/b> :material/home: $x$"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs and classes with such names: some over, one that is a branch, and some under way."""
    monkeypatch.setattr(type(RECIPES["two-moons"].recipe.data), "targets", Classes((f"{HOSTILE}0", f"{HOSTILE}1")))
    monkeypatch.setattr(
        type(RECIPES[DEFAULT].recipe.data), "targets", Classes(tuple(f"{HOSTILE}{i}" for i in range(10)))
    )
    conductor, moons = process.conductor(), RECIPES["two-moons"].recipe.model_copy(update={"epochs": 2})
    done = conductor.submit(HOSTILE, moons)
    assert done.wait(LONG)
    assert done.wait_saved(LONG)
    branch = conductor.branch(done.number, 1, HOSTILE, moons)
    assert branch.wait(LONG)
    assert conductor.submit(HOSTILE, Recipe(epochs=1)).wait(LONG)
    for recipe in (Recipe(epochs=2), moons):
        job = conductor.submit(HOSTILE, recipe, paused=True)
        wait_until(lambda job=job: job.ready, LONG)
    conductor.submit(HOSTILE, moons, in_turn=True)
    conductor.race([(f"{HOSTILE}{i}", moons) for i in range(2)])


def texts(at: AppTest) -> Iterator[tuple[str, str]]:
    """Every text of a page, with the kind of element that shows it: those that Streamlit or a browser may read as
    markup. Tables, fields and boxes of choices show theirs as it is.
    """
    plain = {"arrow_data_frame", "selectbox", "multiselect", "text_input", "text_area", "code", "bidi_component"}

    def inside(message) -> Iterator[str]:
        for field, value in message.ListFields():
            for one in [value] if isinstance(value, str) or not isinstance(value, Iterable) else value:
                if isinstance(one, str) and field.name not in ("id", "key", "user_key"):
                    yield from strings(json.loads(one)) if field.name == "spec" else [one]
                elif hasattr(one, "ListFields"):
                    yield from inside(one)

    def nodes(node) -> Iterator[tuple[str, str]]:
        for child in node.children.values():
            if child.type not in plain and child.proto:
                yield from ((child.type, text) for text in inside(child.proto))
            yield from nodes(child) if hasattr(child, "children") else ()

    return nodes(at._tree)


@pytest.mark.parametrize("page", PAGES)
def test_names_from_outside_are_no_markup(page, hostile, figures):
    at = opened()
    at.session_state["kept/strokes"] = [{"points": [[0.5, 0.2], [0.5, 0.8]], "width": 0.08}]
    at.session_state["details"] = "Classes"
    figures.clear()
    go(at, page)
    found = [*texts(at), *(("plotly_chart", text) for figure in figures.values() for text in strings(figure))]
    assert any("evil" in text for _, text in found) == (page != "reference")
    for kind, text in found:
        if kind in ("html", "plotly_chart"):
            assert "<img src" not in text
        else:
            assert "![i](" not in text
            assert not re.search(r"(?<!\\)<img|:material/home:", text)


def strings(value) -> Iterator[str]:
    """All texts in a figure."""
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)
