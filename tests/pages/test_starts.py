"""The starting points: cards that lead to named recipes."""

from pathlib import Path

import pytest
from PIL import Image

from dlcore.recipes import RECIPES
from pages.parts.starts import STARTS
from tests.pages.helpers import choose, find, opened, well

pytestmark = pytest.mark.usefixtures("own_process")
STATIC = Path(__file__).parents[2] / "static" / "starts"


def card(at):
    (cards,) = [group for group in at.button_group if group.key == "starts"]
    return cards


@pytest.mark.parametrize("name", STARTS)
def test_a_card_is_a_named_recipe_with_a_picture(name):
    assert name in RECIPES
    with Image.open(STATIC / f"{name}.png") as picture:
        assert picture.size == (192, 112)


@pytest.mark.parametrize("name", [name for name in STARTS if name != "digits"])
def test_a_card_starts_from_its_recipe(name):
    at = opened()
    assert card(at).value == "digits"
    well(card(at).set_value(name).run())
    assert find(at.selectbox, "Recipe").value == name
    assert find(at.selectbox, "Data").value == RECIPES[name].recipe.data.kind
    assert card(at).value == name


def test_no_card_is_lit_for_a_recipe_that_has_none():
    at = choose(opened(), "Recipe", "row-lstm")
    assert card(at).value is None
    choose(at, "Recipe", "spirals")
    assert card(at).value == "spirals"
