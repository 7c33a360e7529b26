"""Who races: what may differ, and what each contestant is given for itself."""

import pytest

from dlcore.catalogue.optimizers import SGD
from dlcore.recipes import RECIPES
from pages.parts.state import process
from tests.pages.helpers import choose, enabled, find, opened, press, small, told, well
from tests.pages.racing import differences, give, setting, unfold

pytestmark = pytest.mark.usefixtures("own_process")


def test_a_race_is_set_up_from_the_start():
    at = opened("compare")
    (field,) = at.multiselect
    assert field.value == ["sgd", "adam", "rmsprop", "nadam"]
    assert "Start" in enabled(at)
    assert not told(at)


@pytest.mark.parametrize(
    "topic",
    ["Optimizer", "Activation", "Loss", "Schedule", "Learning rate", "Batch size", "Seed", "Architecture", "Anything"],
)
def test_every_topic_offers_a_race_that_can_start(topic):
    at = choose(opened("compare"), "What differs", topic)
    assert not told(at)
    assert "Start" in enabled(at)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Bad: optimizer=adm", "did you mean adam"),
        ("Bad: optimizer.rate=1", "optimizer.rate"),
        ("Bad: epochs=0", "the nearest is 1"),
        ("Bad: epochs", "SETTING=VALUE"),
        ("Bad", "SETTING=VALUE"),
    ],
)
def test_a_bad_contestant_is_told_and_cannot_start(line, words):
    at = choose(opened("compare"), "What differs", "Anything")
    (area,) = at.text_area
    well(area.set_value(f"Good: seed=1\n{line}").run())
    assert words in told(at).replace("\\", "")
    assert "Start" not in enabled(at)


def test_a_race_needs_two():
    at = opened("compare")
    well(at.multiselect[0].set_value(["adam"]).run())
    assert "2 to 8" in told(at)
    assert "Start" not in enabled(at)


def test_a_contestant_is_given_settings_by_the_controls_of_the_train_page():
    at = choose(small(opened("compare"), epochs=1), "Learning rates", "own")
    give(at, "Optimizer/sgd", "slider", "Momentum", 0.5)
    give(at, "Optimizer/sgd", "selectbox", "Architecture", "linear")
    press(at, "Start")
    recipes = {job.name: job.first_recipe for job in process.jobs()}
    assert (recipes["SGD"].optimizer.momentum, recipes["SGD"].model.kind) == (0.5, "linear")
    assert {recipes[name].model.kind for name in ("Adam", "RMSprop", "NAdam")} == {"mlp"}
    shown = differences(at)
    assert shown["Architecture"] == {"SGD": "Linear", "Adam": "MLP", "RMSprop": "MLP", "NAdam": "MLP"}
    assert shown["Optimizer: momentum"] == {"SGD": "0.5", "Adam": "–", "RMSprop": "0", "NAdam": "–"}


def test_what_a_contestant_was_given_outlives_a_change_of_what_is_shared():
    at = choose(opened("compare"), "Learning rates", "same")
    give(at, "Optimizer/sgd", "slider", "Momentum", 0.5)
    choose(at, "Recipe", "linear-regression")
    shared = RECIPES["linear-regression"].recipe.optimizer  # SGD, too
    well(unfold(at, "Optimizer/sgd").run())
    assert setting(at.slider, "Momentum", "Optimizer/sgd").value == 0.5
    assert setting(at.select_slider, "Learning rate", "Optimizer/sgd").value == shared.lr
    setting(at.button, "Reset", "Optimizer/sgd").click()
    well(unfold(at, "Optimizer/sgd").run())
    assert setting(at.slider, "Momentum", "Optimizer/sgd").value == shared.momentum


def test_contestants_with_settings_of_their_own_need_no_syntax():
    at = choose(small(opened("compare"), epochs=1), "What differs", "Own settings")
    assert "Start" in enabled(at)
    choose(at, "Learning rates", "own")
    give(at, "Own settings/1", "selectbox", "Optimizer", "sgd")
    well(find(at.text_input, "Contestants").set_value("One, Two, Three").run())
    give(at, "Own settings/2", "slider", "Beta 1", 0.5)
    press(at, "Start")
    optimizers = {job.name: job.first_recipe.optimizer for job in process.jobs()}
    base = RECIPES["two-moons"].recipe.optimizer
    assert optimizers["One"] == base.model_copy(update={"lr": 0.001})
    assert optimizers["Two"] == SGD()
    assert optimizers["Three"] == base.model_copy(update={"lr": 0.001, "beta1": 0.5})


def test_a_contestant_that_is_there_twice_is_told():
    at = choose(opened("compare"), "What differs", "Anything")
    (area,) = at.text_area
    well(area.set_value("Same: seed=1\nSame: seed=2").run())
    assert "more than once" in told(at)
