"""Links: what an address opens, what it cannot have, and that it says what the controls say."""

import pytest

from dlcore.recipe import Recipe
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.sharing import to_query
from pages.parts.state import drafts, process
from tests.pages.helpers import choose, enabled, find, go, opened, press, small, told, well

pytestmark = pytest.mark.usefixtures("own_process")


def link_to(name: str) -> dict[str, str]:
    return to_query(RECIPES[name].recipe.model_dump(mode="json"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_link_opens_the_controls_of_its_recipe(name):
    at = well(opened(address=link_to(name)))
    assert find(at.selectbox, "Recipe").value == name
    assert find(at.selectbox, "Data").value == RECIPES[name].recipe.data.kind
    assert find(at.number_input, "Epochs").value == RECIPES[name].recipe.epochs
    assert not told(at)
    assert at.query_params == link_to(name)


def test_a_link_comes_before_the_run_that_is_there():
    press(small(opened(), epochs=2), "Start")
    at = well(opened(address={"epochs": "9"}))
    assert find(at.number_input, "Epochs").value == 9
    assert find(at.selectbox, "Data").value == Recipe().data.kind


def test_a_changed_recipe_is_named_after_the_one_that_it_comes_nearest_to():
    at = well(opened(address=link_to("two-moons") | {"epochs": "3"}))
    assert find(at.selectbox, "Recipe").value == "two-moons"
    press(at, "Start")
    assert process.jobs()[0].name == f"two-moons{drafts.CHANGED}"


def test_a_recipe_that_came_far_keeps_its_name_in_every_tab():
    at = choose(choose(choose(opened(), "Recipe", "two-moons"), "Activation", "relu"), "Optimizer", "sgd")
    assert at.query_params["recipe"] == "two-moons"
    again = well(opened(address=dict(at.query_params)))  # a refresh, or a link
    assert find(again.selectbox, "Recipe").value == "two-moons"
    assert again.query_params == at.query_params
    press(again, ":material/undo: Reset")
    assert again.query_params == link_to("two-moons")
    press(at, "Step")
    assert process.jobs()[0].name == f"two-moons{drafts.CHANGED}"
    assert find(opened().selectbox, "Recipe").value == "two-moons"  # by the name of the run that is there


def test_a_link_says_what_cannot_be_had_until_something_changes():
    at = well(opened(address={"data": "moons", "epochs": "0", "model": "<b>mpl</b>", "seed": "7"}))
    for words in ("This link asks for", "the nearest is 1", "it takes one of linear, mlp"):
        assert words in told(at).replace("\\", "")
    assert "<b>" not in told(at)
    assert find(at.selectbox, "Data").value == "moons"
    assert find(at.number_input, "Epochs").value == Recipe().epochs
    assert find(at.number_input, "Seed").value == 7
    assert "Start" in enabled(at)
    assert "This link asks for" in told(well(at.run()))
    well(find(at.number_input, "Epochs").set_value(8).run())
    assert not told(at)


def test_a_link_that_asks_for_a_thousand_things_is_told_in_short():
    at = well(opened(address={f"bogus{number}": "x" * 300 for number in range(900)}))
    assert "and 890 more" in told(at)
    assert len(told(at)) < 5000
    assert find(at.selectbox, "Recipe").value == DEFAULT


def test_what_a_link_puts_together_wrongly_opens_and_is_told():
    at = well(opened(address={"data": "moons", "model": "cnn"}))
    assert find(at.selectbox, "Architecture").value == "cnn"
    assert "needs pictures" in told(at)
    assert "Start" not in enabled(at)


def test_the_address_says_what_the_controls_say():
    at = opened()
    assert at.query_params == link_to(DEFAULT)
    choose(at, "Recipe", "two-moons")
    assert at.query_params == link_to("two-moons")
    well(find(at.select_slider, "Learning rate").set_value(0.1).run())
    assert at.query_params == link_to("two-moons") | {"optimizer.lr": "0.1"}
    well(find(at.number_input, "Epochs").set_value(0).run())
    assert at.query_params["epochs"] == "0"
    press(at, ":material/undo: Reset")
    assert at.query_params == link_to("two-moons")


def test_parameters_of_others_stay_in_the_address():
    at = well(opened(address={"token": ["a", "b"], "embed": "true", "epochs": "3"}))
    choose(at, "Recipe", "mlp")
    assert at.query_params == link_to("mlp") | {"token": ["a", "b"], "embed": "true"}


def test_an_address_that_the_browser_has_not_renewed_yet_undoes_nothing():
    at = opened()
    before = dict(at.query_params)
    choose(at, "Recipe", "two-moons")
    at.query_params = before
    well(find(at.number_input, "Epochs").set_value(7).run())
    assert find(at.selectbox, "Recipe").value == "two-moons"
    assert at.query_params == link_to("two-moons") | {"epochs": "7"}


def test_a_visit_to_another_page_loses_nothing_but_the_address():
    at = well(opened(address=link_to("two-moons")))
    at.query_params = {}  # as Streamlit does
    go(at, "draw")
    assert not at.query_params
    go(at, "train")
    assert find(at.selectbox, "Recipe").value == "two-moons"
    assert at.query_params == link_to("two-moons")
