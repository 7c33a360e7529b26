"""Every field of every settings class has a widget, and a widget that nobody touches changes nothing."""

import copy
import math

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.activations import Activation
from dlcore.augmentation import Augmentation
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import Settings, bounds, choices, family_of, slider_of

WAIT = 120
# Where each family stands in a recipe; an activation stands in a model.
FAMILIES = {
    name: (name, members) for name, field in Recipe.model_fields.items() if (members := family_of(field))
} | {"activation": ("model.activation", choices(Activation))}
MEMBERS = [
    pytest.param(path, member, id=f"{name}-{kind}")
    for name, (path, members) in FAMILIES.items()
    for kind, member in members.items()
]


def sidebar(values):
    from pages.parts.controls import edit_recipe
    from pages.parts.session import Draft

    edit_recipe(Draft("test", "digits", copy.deepcopy(values), values))


sidebar.__globals__["copy"] = copy


def shown(values: dict) -> AppTest:
    """The controls for a recipe as a plain dict; what they answer is written back into it."""
    at = AppTest.from_function(sidebar, args=(values,), default_timeout=WAIT).run()
    assert not at.exception
    return at


def recipe_with(path: str, settings: dict) -> dict:
    """The default recipe as a plain dict, with other settings at a dotted path."""
    values = Recipe().model_dump(mode="json")
    *parents, name = path.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    place[name] = settings
    return values


def labels(at: AppTest) -> list[str]:
    makes = (at.selectbox, at.slider, at.select_slider, at.number_input, at.text_input, at.toggle)
    return [widget.label for found in makes for widget in found]


def extremes(owner: type[Settings], defaults: dict) -> list[dict]:
    """The settings with every number at the least, and at the most, that is allowed."""
    return [defaults | {name: edge(owner, name, low) for name in numbers(owner)} for low in (True, False)]


def numbers(owner: type[Settings]) -> list[str]:
    return [name for name, field in owner.model_fields.items() if field.annotation in (int, float)]


def edge(owner: type[Settings], name: str, low: bool) -> float:
    """An allowed number at one end: the bound itself, or just inside it where it is excluded."""
    limit = bounds(owner.model_fields[name])[0 if low else 1]
    for value in (limit, math.nextafter(limit, 1 - limit), limit + 1e-7 if low else limit - 1e-7):
        try:
            owner.__pydantic_validator__.validate_assignment(owner.model_construct(), name, value)
        except ValueError:
            continue
        return value
    raise AssertionError(f"{owner.__name__}.{name} takes nothing near {limit}")


@pytest.mark.parametrize(("path", "member"), MEMBERS)
def test_untouched_widgets_give_back_the_defaults(path, member):
    values = recipe_with(path, member().model_dump(mode="json"))
    before = copy.deepcopy(values)
    at = shown(values)
    assert values == before
    for name, field in member.model_fields.items():
        if name != "kind":
            assert field.title in labels(at)


@pytest.mark.parametrize("name", RECIPES)
def test_untouched_widgets_give_back_a_named_recipe(name):
    values = RECIPES[name].recipe.model_dump(mode="json")
    before = copy.deepcopy(values)
    shown(values)
    assert values == before
