import json
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcore.catalogue import devices
from dlcore.catalogue.activations import ReLU, Tanh
from dlcore.catalogue.architectures import CNN, MLP, Architecture, Linear, Recurrent
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Cifar10, Data, Line, Mnist5k, Moons
from dlcore.catalogue.losses import CrossEntropy, Huber, Loss, MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam, Optimizer
from dlcore.catalogue.schedules import Schedule, StepDecay
from dlcore.catalogue.tasks import Regression
from dlcore.recipe import STEERABLE, Recipe, change, field_at, read, repeat, steer, steerable, value_at
from dlcore.recipes import DEFAULT, RECIPES
from dlcore.settings import SettingsError, choices, parse
from tests.strategies import NAMES, junk, settings_of

FIELDS = {"data": Data, "model": Architecture, "loss": Loss, "optimizer": Optimizer, "schedule": Schedule}
ENTRIES = [(name, kind) for name, family in FIELDS.items() for kind in choices(family)]


def places(settings, path=()):
    """Every place in nested settings, as a path of keys."""
    for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


LENGTH = len(Recipe().to_json())
PATHS = [
    *("", ".", "kind", "model.", ".kind", "model.kind.kind", "epochs.kind", "a.b.c", "model.widths.0"),
    *(".".join(map(str, path)) for path in places(Recipe().model_dump(mode="json"))),
]


def problems_of(call, *arguments):
    with pytest.raises(SettingsError) as caught:
        call(*arguments)
    assert caught.value.problems
    for problem in caught.value.problems:
        assert problem.text[-1] in ".?"
        assert "\n" not in problem.text
    return caught.value.problems


def told_or_used(call, *arguments):
    """The problems that were told, none if a recipe came out; anything else fails the test."""
    try:
        assert isinstance(call(*arguments), Recipe)
    except SettingsError as error:
        return error.problems
    return []


# JSON


@pytest.mark.parametrize(("name", "kind"), ENTRIES)
def test_a_recipe_with_any_choice_goes_to_json_and_back(name, kind):
    recipe = Recipe(**{name: choices(FIELDS[name])[kind]()})
    again = parse(Recipe, recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert json.loads(recipe.to_json())[name]["kind"] == kind


@given(settings_of(Recipe))
def test_a_recipe_with_any_settings_goes_to_json_and_back(recipe):
    again = parse(Recipe, recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.to_json() == recipe.to_json()


def test_what_is_left_out_keeps_its_default():
    assert read("{}") == Recipe()
    assert read('{"optimizer": {"kind": "sgd", "momentum": 0.5}}') == Recipe(optimizer=SGD(momentum=0.5))


def test_the_json_says_everything_so_that_later_defaults_change_nothing():
    found = json.loads(Recipe().to_json())
    assert found.keys() == Recipe.model_fields.keys()
    assert found["optimizer"].keys() == Adam.model_fields.keys()
    assert found["model"]["activation"] == {"kind": "relu"}


def test_recipes_are_equal_by_value_and_can_be_keys():
    assert {Recipe(): 1}[read(Recipe().to_json())] == 1
    assert Recipe(seed=1) != Recipe()
    assert Recipe(model=MLP(activation=Tanh())) != Recipe(model=MLP(activation=ReLU()))


@settings(max_examples=100)
@given(settings_of(Recipe), st.data())
def test_junk_never_gives_anything_but_a_sentence(recipe, data):
    values = recipe.model_dump(mode="json")
    for _ in range(data.draw(st.integers(1, 4))):
        *parents, last = data.draw(st.sampled_from(list(places(values))))
        parent = values
        for key in parents:
            parent = parent[key]
        if isinstance(parent, dict):
            last = data.draw(st.just(last) | st.sampled_from(NAMES))
        parent[last] = data.draw(junk())
    for problem in told_or_used(read, json.dumps(values)):
        assert problem.text[-1] in ".?"
        assert problem.setting.removesuffix(".kind") in problem.text


SCRIBBLES = st.tuples(
    st.integers(0, LENGTH - 1), st.sampled_from(['"', "{", "}", ",", "\\", "9", "e", "-", "\x00", "é", ""])
)


@settings(max_examples=100)
@given(st.lists(SCRIBBLES, max_size=5), st.none() | st.integers(0, LENGTH))
def test_text_that_was_cut_or_scribbled_on_never_gives_anything_but_a_sentence(scribbles, end):
    text = list(Recipe().to_json())
    for position, letter in scribbles:
        text[position] = letter
    assert all(problem.text[-1] in ".?" for problem in told_or_used(read, "".join(text)[:end]))


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(PATHS), junk(), min_size=1, max_size=4))
def test_any_change_whatever_gives_a_recipe_or_a_sentence(changes):
    assert all(problem.text[-1] in ".?" for problem in told_or_used(change, Recipe(), changes))


# Problems


def test_a_recipe_of_defaults_has_no_problems():
    assert Recipe().problems() == []


def test_every_problem_of_a_combination_is_told_at_once():
    recipe = Recipe(
        data=Line(),
        model=CNN(),
        loss=CrossEntropy(),
        optimizer=SGD(nesterov=True, momentum=0),
        augmentation=Augmentation(rotate=5),
    )
    assert {problem.setting for problem in recipe.problems()} == {
        *("loss.kind", "model.kind", "optimizer.nesterov", "augmentation"),
    }
    problems = problems_of(read, recipe.to_json())
    assert [problem.text for problem in problems] == [problem.text for problem in recipe.problems()]


@pytest.mark.parametrize("device", typing.get_args(Recipe.model_fields["device"].annotation))
def test_a_device_that_is_not_here_is_refused_and_those_that_are_here_are_named(device, monkeypatch):
    monkeypatch.setattr(devices, "available", lambda: ("cpu",))
    problems = Recipe(device=device).problems()
    if device == "cpu":
        assert problems == []
    else:
        (problem,) = problems
        assert problem.setting == "device"
        assert device in problem.text
        assert "it has cpu" in problem.text


def test_every_device_has_a_title_and_the_cpu_is_always_there():
    assert set(devices.TITLES) == set(typing.get_args(Recipe.model_fields["device"].annotation))
    assert "cpu" in devices.available()
    assert set(devices.available()) <= set(devices.TITLES)


@pytest.mark.parametrize("batch_size", ["all", 1, 2, 64, 1333])
def test_batch_norm_is_judged_for_every_batch_size_even_all(batch_size):
    recipe = Recipe(model=MLP(batch_norm=True), batch_size=batch_size)
    assert [problem.setting for problem in recipe.problems()] == (["batch_size"] if batch_size in (1, 1333) else [])


@pytest.mark.parametrize(
    ("batch_size", "samples", "steps"),
    [("all", 4000, 1), (64, 4000, 63), (64, 64, 1), (64, 65, 2), (1, 7, 7), (9, 4, 1)],
)
def test_an_epoch_has_a_step_for_every_batch_begun(batch_size, samples, steps):
    assert Recipe(batch_size=batch_size).steps_per_epoch(samples) == steps


def test_the_loss_and_the_data_decide_the_outputs():
    assert Recipe().outputs == (10,)
    assert Recipe(data=Moons()).outputs == (2,)
    assert Recipe(data=Line(), loss=MeanSquaredError()).outputs == (1,)


# Changes


def test_a_change_touches_only_what_it_names():
    recipe = Recipe(optimizer=Adam(lr=0.5, beta1=0.8), seed=3)
    assert change(recipe, {"optimizer.lr": 0.01}) == Recipe(optimizer=Adam(lr=0.01, beta1=0.8), seed=3)
    assert change(recipe, {}) == recipe
    assert recipe == Recipe(optimizer=Adam(lr=0.5, beta1=0.8), seed=3)


def test_another_kind_starts_from_its_own_defaults():
    recipe = Recipe(optimizer=Adam(lr=0.5, weight_decay=0.1))
    assert change(recipe, {"optimizer.kind": "sgd"}) == Recipe(optimizer=SGD())


def test_the_same_kind_keeps_its_settings():
    recipe = Recipe(optimizer=Adam(lr=0.5))
    assert change(recipe, {"optimizer.kind": "adam"}) == recipe


def test_a_name_alone_is_short_for_a_kind():
    assert change(Recipe(), {"optimizer": "sgd", "data": "moons", "model.activation": "tanh"}) == Recipe(
        optimizer=SGD(), data=Moons(), model=MLP(activation=Tanh())
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer.momentum": 0.9, "optimizer.kind": "sgd"}, {"optimizer": SGD(momentum=0.9)}),
        ({"optimizer.momentum": 0.9, "optimizer": "sgd"}, {"optimizer": SGD(momentum=0.9)}),
        (
            {"model.activation.kind": "tanh", "model.dense": 9, "model.kind": "cnn"},
            {"model": CNN(dense=9, activation=Tanh())},
        ),
        ({"model.activation.kind": "tanh", "model": "cnn"}, {"model": CNN(activation=Tanh())}),
        ({"model.activation": "tanh", "model.kind": "cnn"}, {"model": CNN(activation=Tanh())}),
        (
            {"loss.delta": 2.0, "data": "line", "model.kind": "linear", "loss": "huber"},
            {"data": Line(), "model": Linear(), "loss": Huber(delta=2.0)},
        ),
        ({"schedule.every": 2, "schedule.kind": "step", "epochs": 3}, {"schedule": StepDecay(every=2), "epochs": 3}),
        ({"model.widths": (3, 4)}, {"model": MLP(widths=(3, 4))}),
        ({"augmentation.shift": 0.1}, {"augmentation": Augmentation(shift=0.1)}),
        ({"optimizer": {"kind": "sgd", "lr": 0.3}}, {"optimizer": SGD(lr=0.3)}),
        ({"batch_size": "all"}, {"batch_size": "all"}),
    ],
)
def test_changes_mean_the_same_in_any_order(changes, expected):
    for order in (changes, dict(reversed(changes.items()))):
        assert change(Recipe(), order) == Recipe(**expected)


def test_a_change_leaves_the_values_that_it_was_given_alone():
    given = {"kind": "sgd"}
    assert change(Recipe(), {"optimizer": given, "optimizer.lr": 0.3}) == Recipe(optimizer=SGD(lr=0.3))
    assert given == {"kind": "sgd"}


def test_settings_of_the_kind_before_are_refused_by_the_new_one():
    (problem,) = problems_of(change, Recipe(), {"optimizer.kind": "sgd", "optimizer.beta1": 0.5})
    assert problem.setting == "optimizer.beta1"
    assert "lr, momentum, nesterov, weight_decay" in problem.text


@pytest.mark.parametrize(
    ("changes", "setting", "words"),
    [
        ({"optimizer.kind": "admw"}, "optimizer.kind", ["'admw'", "did you mean adamw or adam?"]),
        ({"optimizer": "rms"}, "optimizer.kind", ["'rms'", "rmsprop"]),
        ({"optimizer.kind": 5}, "optimizer.kind", ["is 5", "one of sgd, adam"]),
        ({"epohcs": 5}, "epohcs", ["did you mean epochs?"]),
        ({"epochs.x": 5}, "epochs.x", ["epochs holds a single value"]),
        ({"optimizer.lr.x": 5}, "optimizer.lr.x", ["lr holds a single value"]),
        ({"train.epochs": 5}, "train", ["train is not a setting"]),
        ({"model": None}, "model", ["model is null", "settings by name"]),
        ({"kind": "x"}, "kind", ["kind is not a setting"]),
        ({"optimizer.lr": float("nan")}, "optimizer.lr", ["NaN", "above 0 and at most 10"]),
        ({"optimizer.lr": "0.1"}, "optimizer.lr", ["'0.1'", "a number"]),
        ({"data": "line"}, "loss.kind", ["choose mse, mae or huber"]),
    ],
)
def test_a_wrong_change_is_answered_in_words(changes, setting, words):
    problem = problems_of(change, Recipe(), changes)[0]
    assert problem.setting == setting
    for word in words:
        assert word in problem.text


def test_all_wrong_changes_are_answered_at_once():
    problems = problems_of(change, Recipe(), {"epochs": 0, "optimizer.lr": 11, "model.kind": "mpl", "sed": 1})
    assert {problem.setting for problem in problems} == {"epochs", "optimizer.lr", "model.kind", "sed"}


@given(settings_of(Recipe), settings_of(Recipe), st.randoms())
def test_any_recipe_can_be_reached_from_any_other_by_changes(start, goal, random):
    def leaves(settings, path=""):
        for key, value in settings.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{path}{key}.")
            else:
                yield f"{path}{key}", value

    if goal.problems():
        goal = goal.model_copy(update=dict(Recipe()))
    changes = list(leaves(goal.model_dump(mode="json")))
    random.shuffle(changes)
    assert change(start, dict(changes)) == goal


# On the way


def test_what_can_change_on_the_way_is_named_for_every_recipe():
    for family, kind in ENTRIES:
        recipe = Recipe(**{family: choices(FIELDS[family])[kind]()})
        found = steerable(recipe)
        assert found == [path for path in STEERABLE if path in found]  # always in the same order
        for path in STEERABLE:
            parent, _, name = path.rpartition(".")
            there = name in (getattr(recipe, parent) if parent else recipe).__class__.model_fields
            assert (path in found) == there, path
            if there:
                assert field_at(recipe, path).title
                assert repeat(recipe, {path: value_at(recipe, path)}) == recipe
    assert {path for path in STEERABLE if path.startswith("stop.")} == {
        *("stop.accuracy", "stop.patience", "stop.minutes", "stop.not_a_number"),
    }


def test_values_are_found_by_their_path():
    recipe = Recipe(optimizer=SGD(momentum=0.5), epochs=7)
    assert value_at(recipe, "optimizer.momentum") == 0.5
    assert value_at(recipe, "epochs") == 7
    assert value_at(recipe, "optimizer.beta1") is value_at(recipe, "nothing.at.all") is None


def test_changes_on_the_way_are_those_of_a_recipe():
    assert steer(Recipe(), {"optimizer.lr": 0.5, "epochs": 3}) == change(Recipe(), {"optimizer.lr": 0.5, "epochs": 3})
    assert steer(Recipe(), {}) == Recipe()


def test_all_that_cannot_change_on_the_way_is_told_at_once():
    problems = problems_of(steer, Recipe(), {"seed": 1, "optimizer.lr": 0.5, "batch_size": 3, "optimizer.lrr": 1})
    assert [problem.setting for problem in problems] == ["seed", "batch_size", "optimizer.lrr"]
    assert all(
        "cannot change once a run has begun; what can: optimizer.lr, optimizer.beta1," in str(p) for p in problems
    )
    assert "did you mean optimizer.lr" in str(problems[2])


def test_values_that_cannot_be_are_told_as_ever():
    (problem,) = problems_of(steer, Recipe(), {"optimizer.lr": 11})
    assert (problem.setting, problem.text) == (
        *("optimizer.lr", problems_of(change, Recipe(), {"optimizer.lr": 11})[0].text),
    )


def test_changes_are_repeated_on_whatever_machine(monkeypatch):
    monkeypatch.setattr(devices, "available", lambda: ("cpu",))
    recipe = Recipe(device="cuda")
    assert repeat(recipe, {"epochs": 3}) == recipe.model_copy(update={"epochs": 3})
    assert problems_of(change, recipe, {"epochs": 3})[0].setting == "device"
    assert problems_of(repeat, recipe, {"epochs": 0})[0].setting == "epochs"


# The named recipes


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_runs_says_what_it_shows_and_survives_json(name):
    named = RECIPES[name]
    assert named.recipe.problems() == []
    assert named.about.endswith(".")
    assert read(named.recipe.to_json()) == named.recipe
    assert named.recipe.device == "cpu"


def test_named_recipes_differ_and_the_default_is_one_of_them():
    assert DEFAULT in RECIPES
    assert len({named.recipe for named in RECIPES.values()}) == len(RECIPES)
    assert len({named.about for named in RECIPES.values()}) == len(RECIPES)
    assert all(name == name.lower() and " " not in name for name in RECIPES)


def test_the_default_and_the_first_recipes_need_no_internet():
    assert isinstance(RECIPES[DEFAULT].recipe.data, Mnist5k)
    assert [name for name, named in RECIPES.items() if isinstance(named.recipe.data, Cifar10)] == ["cifar-lenet"]


def test_the_named_recipes_are_what_their_names_promise():
    assert isinstance(RECIPES["row-lstm"].recipe.model, Recurrent)
    assert RECIPES["row-lstm"].recipe.model.cell == "lstm"
    assert RECIPES["linear-regression"].recipe.task == Regression(("y",))
    assert RECIPES["logistic-regression"].recipe.outputs == (1,)
    for name in ("linear-regression", "logistic-regression"):
        assert RECIPES[name].recipe.batch_size == "all"
        assert isinstance(RECIPES[name].recipe.model, Linear)
