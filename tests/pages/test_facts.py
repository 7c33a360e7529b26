"""Recipes as tables: nothing is missing, only what differs is told, and what comes from outside is no markup."""

import pytest

from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.stopping import Stopping
from dlcore.recipe import Recipe, change, value_at
from dlcore.recipes import RECIPES
from pages.parts.facts import difference, facts, news, settings_of, size, table


def paths(values: dict, prefix: str = "") -> set[str]:
    """Every setting of a recipe's plain dict; a choice stands for its kind."""
    found = set()
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            found |= ({path} if "kind" in value else set()) | paths(value, f"{path}.")
        elif name != "kind":
            found.add(path)
    return found


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_is_there_once_with_its_title_and_value(name):
    recipe = RECIPES[name].recipe
    found = list(settings_of(recipe))
    assert len(found) == len({one.path for one in found})
    assert {one.path for one in found} == paths(recipe.model_dump())
    for one in found:
        value = value_at(recipe, one.path)
        assert one.title
        assert one.value in (value, getattr(value, "title", None))


def test_facts_show_rules_and_changes_of_pictures_only_where_there_are_any():
    plain = facts(Recipe())
    assert "Learning rate</dt><dd>0.001" in plain
    assert 'title="optimizer.lr"' in plain
    assert "Augmentation" not in plain
    assert "Ending early" not in plain
    rules = Stopping(patience=3, not_a_number=False)
    rich = facts(Recipe(augmentation=Augmentation(rotate=10), stop=rules))
    for words in ("Augmentation: rotate</dt><dd>10", "patience</dt><dd>3", "not a number</dt><dd>off"):
        assert words in rich
    assert "shift" not in rich


def test_a_difference_tells_what_differs_and_nothing_else():
    one = Recipe()
    assert difference([one, one]) == []
    other = one.model_copy(update={"seed": 3, "model": MLP(widths=(64, 32))})
    assert difference([one, other]) == [["Architecture: widths", "128", "64, 32"], ["Seed", "0", "3"]]
    assert difference([one, other, one])[1] == ["Seed", "0", "3", "0"]


def test_a_setting_that_one_recipe_lacks_is_a_dash_and_stands_with_its_kin():
    adam, sgd = RECIPES["digits"].recipe, RECIPES["linear-regression"].recipe
    rows = difference([adam, sgd])
    assert ["Optimizer", "Adam", "SGD"] in rows
    assert ["Optimizer: beta 1", "0.9", "–"] in rows
    assert ["Optimizer: momentum", "–", "0"] in rows
    groups = [row[0].split(":")[0] for row in rows]
    assert sorted(groups, key=groups.index) == groups  # a choice's own settings are not scattered


def test_small_differences_are_not_rounded_away():
    rates = [{"optimizer": Recipe().optimizer.model_copy(update={"lr": lr})} for lr in (0.1234567, 0.1234568)]
    assert difference([Recipe().model_copy(update=rate) for rate in rates]) == [
        ["Optimizer: learning rate", "0.1234567", "0.1234568"]
    ]


def test_a_table_shows_texts_from_outside_as_they_are():
    text = table(["setting", "<b>bold</b> · run 1"], [["&", '"quoted"']])
    assert "<b>" not in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<td>&amp;</td><td>&quot;quoted&quot;</td>" in text


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_230_000, "1.2 MB"), (5e12, "5.0 TB"), (5e16, "50000.0 TB")],
)
def test_sizes_have_sensible_units(count, words):
    assert size(count) == words


def test_news_are_what_all_have_now_and_not_all_had_before():
    moons = Recipe(data=Moons())
    assert news([moons, change(moons, {"seed": 1})], [moons, change(moons, {"seed": 2})]) == []
    now = [change(moons, {"epochs": 7, "seed": seed}) for seed in (1, 2)]
    before = [change(moons, {"epochs": 5, "optimizer.kind": kind}) for kind in ("adam", "sgd")]
    assert news(now, before) == [
        "Optimizer: Adam instead of Adam or SGD",
        "Optimizer: learning rate: 0.001 instead of 0.001 or 0.01",
        "Epochs: 7 instead of 5",
    ]
