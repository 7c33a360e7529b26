"""Every field of every settings class has a widget, and a widget that nobody touches changes nothing."""

import copy

import pytest
from annotated_types import Gt, Lt
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.activations import Activation
from dlcore.recipe import Recipe, read
from dlcore.recipes import RECIPES
from dlcore.settings import Settings, bounds, choices, family_of
from pages.parts.controls import _number_or_word, _numbers

# Where each family stands in a recipe; an activation stands in a model.
FAMILIES = {name: family_of(field) for name, field in Recipe.model_fields.items() if family_of(field)}
FAMILIES["model.activation"] = choices(Activation)
CHOICES = [
    pytest.param(path, member, id=f"{path}-{kind}")
    for path, members in FAMILIES.items()
    for kind, member in members.items()
]


def sidebar(values):
    from pages.parts.controls import edit_recipe
    from pages.parts.state.drafts import Draft

    edit_recipe(Draft("test", "digits", values, values))


def answers(values: dict) -> tuple[dict, set[str]]:
    """What the untouched controls make of a recipe, and their labels."""
    taken = copy.deepcopy(values)
    at = AppTest.from_function(sidebar, args=(taken,), default_timeout=120).run()
    assert not at.exception
    widgets = (at.selectbox, at.slider, at.select_slider, at.number_input, at.text_input, at.toggle)
    return taken, {widget.label for found in widgets for widget in found}


def recipe_with(path: str, settings: Settings) -> dict:
    """The default recipe as a plain dict, with another choice at a dotted path."""
    values = Recipe().model_dump(mode="json")
    *parents, name = path.split(".")
    place = values
    for parent in parents:
        place = place[parent]
    place[name] = settings.model_dump(mode="json")
    return values


def titles(settings: type[Settings]) -> set[str]:
    """What the fields are called that a person sets; a field that groups others stands for those."""
    found = set()
    for name, field in settings.model_fields.items():
        grouped = isinstance(field.annotation, type) and issubclass(field.annotation, Settings) and not family_of(field)
        found |= titles(field.annotation) if grouped else {field.title} if name != "kind" else set()
    return found


def numbers(member: type[Settings]) -> list[str]:
    return [name for name, field in member.model_fields.items() if field.annotation in (int, float)]


def ends(member: type[Settings], name: str) -> tuple[float, float]:
    """The lowest and the highest allowed number; a little inside where the bound itself is not allowed."""
    field = member.model_fields[name]
    low, high = bounds(field)
    excluded = {type(mark) for mark in field.metadata}
    return low + (0.00123 if Gt in excluded else 0), high - (0.00123 if Lt in excluded else 0)


@pytest.mark.parametrize(("path", "member"), CHOICES)
def test_every_field_has_a_widget_that_untouched_gives_back_the_default(path, member):
    values = recipe_with(path, member())
    taken, labels = answers(values)
    assert taken == values
    assert {field.title for name, field in member.model_fields.items() if name != "kind"} <= labels


@pytest.mark.parametrize("end", [0, 1], ids=["lowest", "highest"])
@pytest.mark.parametrize(("path", "member"), [choice for choice in CHOICES if numbers(choice.values[1])])
def test_allowed_numbers_beyond_the_sliders_are_kept(path, member, end):
    values = recipe_with(path, member(**{name: ends(member, name)[end] for name in numbers(member)}))
    assert answers(values)[0] == values


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_comes_back_as_it_was(name):
    values = RECIPES[name].recipe.model_dump(mode="json")
    taken, labels = answers(values)
    assert taken == values
    assert read(Recipe.model_validate(taken, strict=False).to_json()) == RECIPES[name].recipe
    assert titles(Recipe) - labels <= {"Activation"}


def test_a_number_keeps_its_type():
    taken, _ = answers(recipe_with("data", FAMILIES["data"]["moons"]()))
    assert isinstance(taken["data"]["samples"], int)
    assert isinstance(taken["optimizer"]["lr"], float)
    assert isinstance(taken["epochs"], int)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("128, 64", [128, 64]),
        ("128 64", [128, 64]),
        (" 7 ", [7]),
        ("", []),
        ("a, 1", "a, 1"),
        ("-1", "-1"),
        ("1.5", "1.5"),
    ],
)
def test_a_list_is_read_from_text_and_what_is_none_stays_text(text, value):
    assert _numbers(text) == value


@pytest.mark.parametrize(("text", "value"), [("48", 48), (" 48 ", 48), ("all", "all"), (64, 64), ("many", "many")])
def test_a_batch_size_is_a_number_or_a_word(text, value):
    assert _number_or_word(text) == value
