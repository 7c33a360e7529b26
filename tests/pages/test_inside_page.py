"""Inside: any run, at any of its epochs, two side by side."""

import pytest
import streamlit as st

from dlcore.recipes import RECIPES
from dlcore.runs.store import Store
from pages.parts.state import process
from pages.parts.views import listing
from tests.pages.helpers import LONG, find, go, opened, seen, well
from tests.running import MOONS, changed, finish
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def trained(recipe=MOONS, name="moons"):
    job = process.conductor().submit(name, recipe)
    finish(job)
    assert job.wait_saved(LONG)
    return job


def inside(**asked):
    """The page, as a link with these parameters opens it."""
    at = opened()
    for name, values in asked.items():
        at.query_params[name] = values
    return go(at, "inside")


def chosen(at):
    return find(at.multiselect, "Runs").value


def test_without_a_run_it_says_what_to_do():
    at = go(opened(), "inside")
    assert "There is no network to look into yet" in {one.value for one in at.subheader}


def test_the_latest_run_is_shown_as_it_is_now():
    trained(), trained(name="later")
    at = inside()
    assert chosen(at) == [2]
    assert "**later** · run 2 · finished" in seen(at)
    assert find(at.select_slider, "Epoch").value == "live"


def test_two_runs_stand_side_by_side_and_no_more():
    for seed in range(3):
        trained(changed(MOONS, seed=seed))
    at = inside(run=["1", "3", "2"])
    assert chosen(at) == [1, 3]
    assert "run 1 · finished" in seen(at)
    assert "run 3 · finished" in seen(at)


def test_an_address_names_the_run_and_the_epoch():
    trained(), trained()
    at = inside(run=["1"], epoch=["2"])
    assert chosen(at) == [1]
    assert find(at.select_slider, "Epoch").value == 2
    assert "after epoch 2" in seen(at)
    assert (at.query_params["run"], at.query_params["epoch"]) == ("1", "2")
    well(find(at.select_slider, "Epoch").set_value("live").run())
    assert at.query_params["run"] == "1"
    assert "epoch" not in at.query_params


@pytest.mark.parametrize("asked", [{"run": ["7"]}, {"run": ["x", "-1", "¹"]}, {"epoch": ["nine"]}, {"epoch": ["99"]}])
def test_an_address_that_asks_for_what_is_not_there_shows_the_latest_run_now(asked):
    trained()
    at = inside(**asked)
    assert chosen(at) == [1]
    assert find(at.select_slider, "Epoch").value == "live"


def test_a_run_of_the_store_is_looked_into(root):
    trained()
    process.conductor().forget(1)
    at = inside(run=["1"], epoch=["1"])
    wait_until(lambda: "It says" in seen(well(at.run())) or "Click a unit" in seen(at), LONG)
    assert Store(root).film(1).epochs[:2] == (0, 1)


@pytest.mark.parametrize("name", ["linear-regression", "two-moons"])
def test_every_view_is_drawn_or_says_why_it_cannot_be(name):
    trained(RECIPES[name].recipe.model_copy(update={"epochs": 3}))
    at = inside()
    for number in range(len(at.tabs)):
        at.session_state["views"] = at.tabs[number].label
        well(at.run())


def test_a_view_that_fails_hides_nothing_else(monkeypatch):
    def fails(subject, key):
        if subject.run.number == 1:
            raise ZeroDivisionError("no such thing")
        st.caption("the other one")

    trained(), trained(changed(MOONS, seed=1))
    monkeypatch.setattr(listing, "VIEWS", (listing.View("Layers", fails, "layers-health"),))
    at = opened()
    at.query_params["run"] = ["1", "2"]
    at.switch_page("pages/inside.py").run()
    assert [one.value for one in at.exception] == ["no such thing"]
    assert "the other one" in seen(at)
    assert "run 2 · finished" in seen(at)
