"""The starting points: cards that lead to named recipes."""

from pathlib import Path

import pytest
from PIL import Image

from dlcore.recipes import RECIPES
from pages.parts.starts import STARTS
from tests.pages.helpers import choose, find, opened, well

pytestmark = pytest.mark.usefixtures("own_process")
STATIC = Path(__file__).parents[2] / "static" / "starts"


def lit(at):
    """The cards that are lit."""
    cards = [button for button in at.button if (button.key or "").startswith("start/")]
    assert len(cards) == len(STARTS)
    return [button.key.removeprefix("start/") for button in cards if button.proto.type == "primary"]


def press_card(at, name):
    (card,) = [button for button in at.button if button.key == f"start/{name}"]
    return well(card.click().run())


@pytest.mark.parametrize("name", STARTS)
def test_a_card_is_a_named_recipe_with_a_picture(name):
    assert name in RECIPES
    with Image.open(STATIC / f"{name}.png") as picture:
        assert picture.size == (192, 112)


@pytest.mark.parametrize("name", [name for name in STARTS if name != "digits"])
def test_a_card_starts_from_its_recipe(name):
    at = opened()
    assert lit(at) == ["digits"]
    press_card(at, name)
    assert find(at.selectbox, "Recipe").value == name
    assert find(at.selectbox, "Data").value == RECIPES[name].recipe.data.kind
    assert lit(at) == [name]


def test_a_card_that_is_lit_brings_its_recipe_back_as_it_was():
    at = opened()
    well(find(at.number_input, "Epochs").set_value(3).run())
    press_card(at, "digits")
    assert find(at.number_input, "Epochs").value == RECIPES["digits"].recipe.epochs


def test_no_card_is_lit_for_a_recipe_that_has_none():
    at = choose(opened(), "Recipe", "row-lstm")
    assert lit(at) == []
    choose(at, "Recipe", "spirals")
    assert lit(at) == ["spirals"]
