"""Strategies: what hypothesis draws for the tests: settings, of whatever the catalogue has, and runs."""

import copy
from typing import get_args

import numpy as np
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from dlcore.history import LOST, MEASURES, Change, Epoch, History
from dlcore.recipe import Recipe, value_at
from dlcore.runs.records import LONGEST_NAME, LONGEST_TAG, PACE, PACES, Branch, Failure, Status, Stored
from dlcore.settings import Settings, accepted, bounds, family_of

NAMES = ["", "kind", "lr", "adam", "widths", "\x00", "model"]
ODD = [
    *(None, True, 0, 1, -1, 1.5, 1e308, 10**30, "", "adam", "all", "\x00", "é\ud83d\ude00", [], {}, [None], [[1]]),
    *({"kind": "adam"}, {"kind": None}, {"kind": {}}, {"": ""}, {"kind": "mlp", "widths": [0]}, "x" * 1000),
]


def settings_of(cls: type[Settings]) -> st.SearchStrategy[Settings]:
    """Settings with every field drawn from what is accepted; they need not fit together."""
    return st.builds(cls, **{name: value_of(field) for name, field in cls.model_fields.items() if name != "kind"})


def value_of(field: FieldInfo) -> st.SearchStrategy:
    if kinds := family_of(field):
        return st.one_of([settings_of(kind) for kind in kinds.values()])
    if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
        return settings_of(field.annotation)
    words, (low, high) = accepted(field), bounds(field)
    if "true or false" in words:
        return st.booleans()
    if words.startswith("a list"):
        return st.lists(st.integers(1, 10000), min_size=1, max_size=6).map(tuple)
    if "whole number" in words:
        numbers = st.integers(low, high)
        return st.just("all") | numbers if words.endswith("or all") else numbers
    if "number" in words:
        return st.floats(low, high, exclude_min="above" in words, exclude_max="below" in words)
    return st.sampled_from(words.split(" or "))


def junk() -> st.SearchStrategy:
    """A value that JSON can hold, seldom one that a setting takes."""
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    nested = st.recursive(
        plain,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        max_leaves=5,
    )
    return st.sampled_from(ODD).map(copy.deepcopy) | nested


def text(longest: int, besides: str = "") -> st.SearchStrategy[str]:
    """What a person may write: printable letters, and those that are named."""
    return st.text(st.characters(exclude_categories=("Cc", "Cs"), include_characters=besides), max_size=longest)


NAME = text(LONGEST_NAME).map(str.strip).filter(bool)
NOTE = text(200, besides="\n\t")
TAGS = st.lists(text(LONGEST_TAG).map(str.strip).filter(bool), max_size=5, unique=True).map(tuple)
COUNT = st.integers(0, 10**15)
AMOUNT = st.floats(0, 1e11)
SINGLE = st.floats(width=32)  # not a number and infinite ones, too
SHARE = st.none() | st.floats(0, 1)


def changes_of(recipe: Recipe, steps: int) -> st.SearchStrategy[list[Change]]:
    """What may have changed on the way of a run with this recipe, in order."""
    values = {
        PACE: st.none() | st.floats(*PACES),
        LOST: st.none(),
        **{setting: st.just(value_at(recipe, setting)) for setting in MEASURES},
        "epochs": st.integers(1, 100_000),
        "optimizer.lr": st.floats(1e-6, 10),
        "stop.not_a_number": st.booleans(),
    }
    places = st.lists(st.tuples(st.integers(0, steps), st.sampled_from(sorted(values))), max_size=6, unique=True)
    made = lambda at: st.tuples(*[st.builds(Change, st.just(step), st.just(name), values[name]) for step, name in at])  # noqa: E731
    return places.map(sorted).flatmap(made).map(list)


@st.composite
def histories(draw: st.DrawFn, recipe: Recipe) -> History:
    """What a run may have measured: the losses of its steps, the ends of its epochs, and what changed."""
    losses = np.array(draw(st.lists(SINGLE, max_size=40)), np.float32)
    ends = sorted(draw(st.lists(st.integers(0, len(losses)), max_size=5)))
    rows = [
        Epoch(number, step, *draw(st.tuples(st.floats(), SHARE, st.floats(), SHARE, AMOUNT, AMOUNT, AMOUNT)))
        for number, step in enumerate(ends, 1)
    ]
    return History(losses, rows, draw(changes_of(recipe, len(losses))))


@st.composite
def records(draw: st.DrawFn, recipes: st.SearchStrategy[Recipe] | None = None) -> Stored:
    """A run as it may be known, over or under way."""
    recipe = draw(settings_of(Recipe) if recipes is None else recipes)
    anything = st.text(max_size=50)
    return Stored(
        0,
        draw(NAME),
        recipe,
        draw(histories(recipe)),
        reason=draw(text(100)),
        failure=draw(st.none() | st.builds(Failure, anything, anything)),
        branch=draw(st.none() | st.builds(Branch, COUNT, COUNT, COUNT)),
        steps_per_epoch=draw(COUNT),
        offset=draw(st.integers(-(10**15), 10**15)),
        created=draw(AMOUNT),
        threads=draw(st.integers(0, 1000)),
        status=draw(st.sampled_from(get_args(Status))),
        elapsed=draw(AMOUNT),
        stepping=draw(AMOUNT),
        note=draw(NOTE),
        tags=draw(TAGS),
    )
