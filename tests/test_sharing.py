"""A link holds a whole recipe; whatever a link says, reading it gives a recipe and a sentence for what it is not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore.catalogue.activations import Activation
from dlcore.recipe import Recipe, change
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError, choices, family_of, parse
from dlcore.sharing import LONGEST, from_link, from_query, is_setting, nearest_named, to_link, to_query
from tests.strategies import settings_of

# Where each family stands in a recipe; an activation stands in a model.
FAMILIES = {name: family_of(field) for name, field in Recipe.model_fields.items() if family_of(field)}
FAMILIES["model.activation"] = choices(Activation)
CHOICES = [pytest.param(path, kind, id=f"{path}-{kind}") for path, kinds in FAMILIES.items() for kind in kinds]
DEFAULT = Recipe().model_dump(mode="json")

REFUSED = [
    pytest.param({"optimizer.lr": "99"}, "optimizer.lr is 99; it takes", id="too high"),
    pytest.param({"optimizer.lr": "0"}, "optimizer.lr is 0; it takes", id="too low"),
    pytest.param({"epochs": "0"}, "the nearest is 1", id="the nearest is told"),
    pytest.param({"epochs": "1.5"}, "a whole number", id="a fraction for a whole number"),
    pytest.param({"epochs": ""}, "epochs is ''", id="nothing"),
    pytest.param({"epochs": "null"}, "epochs is null", id="null"),
    pytest.param({"epochs": "true"}, "epochs is true", id="a switch for a number"),
    pytest.param({"epochs": "ten"}, "epochs is 'ten'", id="a word for a number"),
    pytest.param({"epochs": "[10]"}, "epochs is '[10]'", id="a list for a number"),
    pytest.param({"epochs": "[" * 100_000}, "epochs is '[[[", id="deep brackets"),
    pytest.param({"epochs": "9" * 4000}, "the nearest is 100000", id="a number of 4,000 digits"),
    pytest.param({"epochs": "9" * 100_000}, "epochs is '999", id="a number of 100,000 digits"),
    pytest.param({"optimizer.lr": "NaN"}, "optimizer.lr is NaN", id="not a number"),
    pytest.param({"optimizer.lr": "1e999"}, "optimizer.lr is Infinity", id="beyond all numbers"),
    pytest.param({"optimizer.lr": "-Infinity"}, "optimizer.lr is -Infinity", id="below all numbers"),
    pytest.param({"batch_size": "many"}, "or all", id="a word that is not the one allowed"),
    pytest.param({"model.batch_norm": "yes"}, "true or false", id="a word for a switch"),
    pytest.param({"model.widths": ""}, "a list of 1 to 20 numbers", id="an empty list"),
    pytest.param({"model.widths": "16,a"}, "'a'", id="a word in a list"),
    pytest.param({"model.widths": "16,0"}, "from 1 to 10000", id="a bad number in a list"),
    pytest.param({"model.widths": "1," * 50_000}, "a list of 1 to 20 numbers", id="a long list"),
    pytest.param({"optimizer": "adm"}, "did you mean adam", id="a misspelt kind"),
    pytest.param({"optimizer.kind": "adm"}, "did you mean adam", id="a misspelt kind by its full name"),
    pytest.param({"model.activation": "<b>😀</b>"}, "'<b>😀</b>'", id="html and an emoji"),
    pytest.param({"augmentation": "5"}, "settings by name", id="a value for what holds settings"),
    pytest.param({"epocs": "5"}, "did you mean epochs", id="a misspelt name"),
    pytest.param({"model.widht": "5"}, "did you mean widths", id="a misspelt inner name"),
    pytest.param({"optimizer.momentum": "0.9"}, "here one can set lr", id="another optimizer's setting"),
    pytest.param({"epochs.kind": "5"}, "epochs.kind is not a setting", id="a kind where there is none"),
    pytest.param({"kind": "5"}, "kind is not a setting", id="a kind of nothing"),
    pytest.param({"": "5"}, "'' is not a setting", id="no name"),
    pytest.param({"data.": "5"}, "data.'' is not a setting", id="no inner name"),
    pytest.param({"__class__": "5"}, "__class__ is not a setting", id="python's own name"),
    pytest.param({"model_fields": "5"}, "model_fields is not a setting", id="pydantic's own name"),
    pytest.param({"optimizer." * 50_000: "5"}, "... is not a setting", id="a deep name"),
    pytest.param({"x" * 100_000: "5"}, "... is not a setting", id="a long name"),
    pytest.param({"\ud800": "\ud800"}, "is not a setting", id="half a letter"),
    pytest.param({"device": "\ud800"}, "cpu or cuda", id="half a letter as a value"),
]


def inside(values: dict, path: str):
    for name in path.split("."):
        values = values[name]
    return values


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_comes_back_from_its_link(name):
    values = RECIPES[name].recipe.model_dump(mode="json")
    assert from_query(to_query(values)) == (values, [])


@given(settings_of(Recipe))
def test_a_recipe_with_any_settings_comes_back_from_its_link(recipe):
    values = recipe.model_dump(mode="json")
    assert from_query(to_query(values)) == (values, [])
    name = nearest_named(values)
    assert from_link(to_link(name, values)) == (name, values, [])


TEXTS = st.text(max_size=30) | st.sampled_from(["adam", "cnn", "all", "1e999", "-0", "[1]", "16,16", "true", "\ud800"])


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from([*to_query(DEFAULT), "recipe", "kind", ""]) | TEXTS, TEXTS, max_size=5))
def test_any_link_whatever_gives_settings_and_a_short_sentence_for_what_it_is_not(link):
    name, values, problems = from_link(link)
    assert name in RECIPES
    assert parse(Recipe, json.dumps(values)).model_dump(mode="json") == values
    for problem in problems:
        assert problem.text[-1] in ".?"
        assert len(problem.text) < 300


@pytest.mark.parametrize(("path", "kind"), CHOICES)
def test_every_kind_comes_back_from_its_link_and_brings_its_defaults(path, kind):
    values, problems = from_query({path: kind})
    assert problems == []
    assert inside(values, path) == FAMILIES[path][kind]().model_dump(mode="json")
    assert from_query(to_query(values)) == (values, [])


@pytest.mark.parametrize("name", [name for name in to_query(DEFAULT) if name != "device"])
def test_every_setting_has_a_name_of_its_own_in_a_link(name):
    values, problems = from_query({name: to_query(DEFAULT)[name]})
    assert (values, problems) == (DEFAULT, [])


def test_a_link_is_readable():
    query = to_query(RECIPES["two-moons"].recipe.model_dump(mode="json"))
    assert query["data"] == "moons"
    assert query["model"] == "mlp"
    assert query["model.widths"] == "16,16"
    assert query["model.activation"] == "tanh"
    assert query["model.batch_norm"] == "false"
    assert query["optimizer.lr"] == "0.01"
    assert query["optimizer.weight_decay"] == "0"
    assert to_query(RECIPES["linear-regression"].recipe.model_dump(mode="json"))["batch_size"] == "all"


@pytest.mark.parametrize("rate", [0.1 + 0.2, 1e-300, 5, 1.0, 1 / 3])
def test_a_number_keeps_every_digit_and_its_type(rate):
    values, _ = from_query(to_query(change(Recipe(), {"optimizer.lr": rate}).model_dump(mode="json")))
    assert values["optimizer"]["lr"] == rate
    assert isinstance(values["optimizer"]["lr"], float)


def test_an_empty_link_is_the_default_recipe():
    assert from_query({}) == (DEFAULT, [])


@pytest.mark.parametrize("text", ["64,32", "64, 32", "64 32", " 64,32, "])
def test_a_list_may_be_written_as_people_write_it(text):
    assert from_query({"model.widths": text})[0]["model"]["widths"] == [64, 32]


def test_a_kind_may_be_named_as_on_the_command_line():
    assert from_query({"optimizer.kind": "sgd"}) == from_query({"optimizer": "sgd"})


@pytest.mark.parametrize(("query", "words"), REFUSED)
def test_what_cannot_be_had_is_told_in_one_short_sentence_and_left_out(query, words):
    values, problems = from_query(query)
    assert values == DEFAULT
    (problem,) = problems
    assert words in problem.text
    assert len(problem.text) < 300
    assert len(problem.setting) <= LONGEST + 5  # .kind


def test_what_can_be_had_is_taken_beside_what_cannot():
    values, problems = from_query({"data": "moons", "model.widths": "16", "optimizer": "adm", "epochs": "0", "x": "1"})
    assert values["data"]["kind"] == "moons"
    assert values["model"]["widths"] == [16]
    assert {name: values[name] for name in ("optimizer", "epochs")} == {
        name: DEFAULT[name] for name in ("optimizer", "epochs")
    }
    assert sorted(problem.setting for problem in problems) == ["epochs", "optimizer.kind", "x"]


def test_settings_that_do_not_fit_together_stay_for_the_recipe_to_tell():
    values, problems = from_query({"data": "moons", "model": "cnn"})
    assert problems == []
    assert (values["data"]["kind"], values["model"]["kind"]) == ("moons", "cnn")
    with pytest.raises(SettingsError, match="needs pictures"):
        change(Recipe(), {"data": "moons", "model": "cnn"})


def test_values_that_are_not_valid_yet_can_be_written():
    values = {**DEFAULT, "epochs": 0, "model": {**DEFAULT["model"], "widths": "a, 1", "dropout": float("nan")}}
    query = to_query(values)
    assert (query["epochs"], query["model.widths"], query["model.dropout"]) == ("0", "a, 1", "NaN")
    assert {problem.setting for problem in from_query(query)[1]} == {"epochs", "model.widths", "model.dropout"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_nearest_to_itself_also_when_little_changed(name):
    values = RECIPES[name].recipe.model_dump(mode="json")
    assert nearest_named(values) == name
    assert nearest_named({**values, "epochs": 3, "seed": 7}) == name


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("epochs", True),
        ("optimizer.lr", True),
        ("recipe", True),
        ("model.bogus", True),
        ("embed", False),
        ("lr", False),
        ("", False),
    ],
)
def test_only_names_of_settings_are_the_recipes_own(name, ours):
    assert is_setting(name) == ours


FAR = change(RECIPES["two-moons"].recipe, {"model.activation": "relu", "optimizer": "sgd"}).model_dump(mode="json")


def test_a_link_tells_the_named_recipe_where_another_one_is_nearer():
    assert nearest_named(FAR) != "two-moons"
    link = to_link("two-moons", FAR)
    assert link == {"recipe": "two-moons"} | to_query(FAR)
    assert from_link(link) == ("two-moons", FAR, [])


@pytest.mark.parametrize("name", RECIPES)
def test_a_link_says_no_more_than_it_must(name):
    values = RECIPES[name].recipe.model_dump(mode="json")
    assert to_link(name, values) == to_query(values)
    assert from_link(to_query(values)) == (name, values, [])  # as links were before they had names


@pytest.mark.parametrize("name", RECIPES)
def test_a_name_alone_is_a_link_to_that_recipe(name):
    recipe = RECIPES[name].recipe
    assert from_link({"recipe": name}) == (name, recipe.model_dump(mode="json"), [])
    assert from_link({"recipe": name, "epochs": "7"})[1] == {**recipe.model_dump(mode="json"), "epochs": 7}


@pytest.mark.parametrize(
    ("name", "words"),
    [("two-mons", "did you mean two-moons?"), ("", "''"), ("\ud800", "it takes one of"), ("x" * 999, "...")],
)
def test_a_name_that_is_none_is_told_and_the_rest_is_taken(name, words):
    found, values, (problem,) = from_link({"recipe": name} | to_query(FAR))
    assert (found, values) == (nearest_named(FAR), FAR)
    assert problem.setting == "recipe"
    assert problem.text.startswith("recipe is '")
    assert words in problem.text
    assert len(problem.text) < 300
