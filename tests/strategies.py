"""Strategies: what hypothesis draws for the tests, of whatever the catalogue has."""

import copy

from hypothesis import strategies as st
from pydantic.fields import FieldInfo

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
