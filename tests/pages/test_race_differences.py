"""In what contestants differ is shown of the race that is there and of the next one."""

import re

import pytest

from dlcore.recipes import RECIPES
from pages.parts.state import process
from tests.pages.helpers import (
    choose,
    find,
    opened,
    seen,
    well,
)
from tests.pages.racing import (
    legend,
    race,
    rates,
    rows,
)

pytestmark = pytest.mark.usefixtures("own_process")


def test_every_contestant_shows_at_which_rates_it_will_race(figures):
    at = opened("compare")
    assert find(at.selectbox, "Learning rates").value == "best"
    assert rates(at) == {
        "SGD": "tries 0.001, 0.01, 0.1",
        "Adam": "tries 0.0001, 0.001, 0.01",
        "RMSprop": "tries 0.0001, 0.001, 0.01",
        "NAdam": "tries 0.0002, 0.002, 0.02",
    }
    choose(at, "Learning rates", "own")
    own = {"SGD": "0.01", "Adam": "0.001", "RMSprop": "0.001", "NAdam": "0.002"}
    assert rates(at) == own
    choose(at, "Recipe", "linear-regression")  # whose SGD has another one
    assert rates(at) == own
    choose(at, "Learning rates", "same")
    assert rates(at) == dict.fromkeys(own, f"{RECIPES['linear-regression'].recipe.optimizer.lr:g}")


@pytest.mark.parametrize("how", ["same", "own"])
def test_a_race_at_given_rates_names_them_wherever_it_is_shown(figures, how):
    at = race(opened("compare"), how)
    wanted = {"Adam": "0.01" if how == "same" else "0.001", "SGD": "0.01"}
    assert RECIPES["two-moons"].recipe.optimizer.lr == 0.01
    assert {job.name: f"{job.first_recipe.optimizer.lr:g}" for job in process.latest_race()} == wanted
    assert {re.sub("<.*?>", "", row[1]): row[2] for row in rows(at)} == rates(at) == wanted
    assert set(legend(figures["race-accuracy-chart"])) == {f"{name} · rate {rate}" for name, rate in wanted.items()}
    (verdict,) = [found.value.replace("\\", "") for found in at.success]
    told = "All trained at the learning rate 0.01." if how == "same" else "Their learning rates: Adam 0.001, SGD 0.01."
    assert told in verdict


def test_what_sets_the_next_race_apart_is_told_beside_the_one_that_is_over():
    at = race(opened("compare"), "best")
    captions = lambda: [found.value for found in at.caption if "differ" in found.value]  # noqa: E731
    assert captions() == ["In what they differ"]
    well(find(at.multiselect, "Contestants").set_value(["adam", "nadam"]).run())
    assert captions() == ["In what they differ", "In what those of the next race differ"]
    assert rates(at) == {"Adam": "tries 0.0001, 0.001, 0.01", "NAdam": "tries 0.0002, 0.002, 0.02"}


def test_what_all_of_the_next_race_have_that_those_of_the_last_one_had_not_is_told():
    at = race(opened("compare"))
    assert "instead of" not in seen(at)
    choose(at, "Recipe", "linear-regression")
    (found,) = [found.value.replace("\\", "") for found in at.caption if "instead of" in found.value]
    assert found.startswith("In all of the next race: Data: Line instead of Two moons · Architecture: Linear instead")
    assert "Epochs: 1000 instead of 2" in found
    assert "learning rate" not in found
