"""A draft remembers what it started from, whatever is changed afterwards."""

from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.branching import branch_problems
from pages.parts.state.drafts import CHANGED, BranchPoint, Draft


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


def test_a_draft_is_checked_as_a_whole():
    draft = drafted("two-moons")
    assert draft.checked() == (RECIPES["two-moons"].recipe, [])
    draft.values |= {"epochs": 0, "seed": -1}
    recipe, problems = draft.checked()
    assert recipe is None
    assert [problem.setting for problem in problems] == ["epochs", "seed"]


def test_a_draft_that_begins_as_a_branch_must_fit_the_weights_of_its_parent():
    draft, parent = drafted("two-moons"), RECIPES["two-moons"].recipe
    draft.branch = BranchPoint(1, "two-moons", 2, parent)
    assert draft.checked() == (parent, [])
    draft.values["model"]["widths"] = [3]
    assert draft.checked() == (None, branch_problems(parent, 2, Recipe.model_validate(draft.values)))
    assert draft.checked()[1]
