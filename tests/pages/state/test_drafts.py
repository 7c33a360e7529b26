"""A draft remembers what it started from, whatever is changed afterwards."""

from dlcore.recipes import RECIPES
from pages.parts.state.drafts import CHANGED, Draft


def drafted(name: str) -> Draft:
    draft = Draft("train", name, {}, {})
    draft.take(name, RECIPES[name].recipe)
    return draft


def test_the_start_of_a_draft_stays_when_its_values_change():
    draft = drafted("two-moons")
    draft.values["model"]["activation"]["kind"] = "relu"
    draft.values["optimizer"]["lr"] = 0.5
    assert draft.start == RECIPES["two-moons"].recipe.model_dump(mode="json")


def test_a_run_of_a_changed_recipe_says_so_in_its_name():
    draft = drafted("simplenet")
    assert draft.run_name == "simplenet"
    draft.values["epochs"] = 3
    assert draft.run_name == f"simplenet{CHANGED}"


def test_taking_a_recipe_starts_its_widgets_anew():
    draft = drafted("simplenet")
    generation = draft.generation
    draft.take("digits", RECIPES["digits"].recipe)
    assert draft.generation != generation
    assert draft.values["optimizer"]["lr"] == RECIPES["digits"].recipe.optimizer.lr
