"""The view Landscape: computed on a thread of its own, kept, cancelled, and a sentence where there is none."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.optimizers import SGD
from dlcore.recipes import RECIPES
from pages.parts.state import process, surveys
from pages.parts.views import landscape as view
from tests.pages.helpers import LONG, find, seen, well
from tests.running import ENDLESS, MOONS, changed, finish, take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def script(number: int, epoch: int | None) -> None:
    import streamlit as st

    from pages.parts.state.process import record
    from pages.parts.views.landscape import show
    from pages.parts.views.subject import Subject

    st.session_state["waits"] = show(Subject(record(number), epoch))


def shown(number, epoch=None) -> AppTest:
    return well(AppTest.from_function(script, default_timeout=LONG, args=(number, epoch)).run())


def whole(at: AppTest) -> AppTest:
    """The page once nothing is on its way."""
    wait_until(lambda: not well(at.run()).session_state["waits"], LONG)
    return at


def trained(recipe=MOONS):
    job = process.conductor().submit("moons", recipe)
    finish(job)
    assert job.wait_saved(LONG)
    return job


def choose(at: AppTest, label: str, option: str) -> AppTest:
    return well(find(at.get("button_group"), label).set_value(option).run())


def test_a_run_that_is_over_is_computed_at_once_along_its_film(figures):
    job = trained()
    at = whole(shown(job.number))
    ground, path = figures["landscape-contour"]["data"]
    assert len(ground["z"]) == 31
    assert len(path["x"]) == 4  # the start, too
    assert "of the path's variance" in seen(at)
    assert "arxiv.org/abs/1712.09913" in seen(at)


def test_it_is_kept_and_not_computed_again(monkeypatch):
    job = trained()
    whole(shown(job.number))
    begun = []
    monkeypatch.setattr(view, "begin", lambda *given: begun.append(given))
    assert not shown(job.number).session_state["waits"]
    assert not begun


def test_raced_runs_are_drawn_together_unless_that_is_not_wanted(figures):
    field = [("adam", MOONS), ("sgd", changed(MOONS, optimizer=SGD()))]
    jobs = process.conductor().race(field)
    finish(*jobs)
    assert all(job.wait_saved(LONG) for job in jobs)
    at = whole(shown(jobs[0].number))
    assert [trace["name"] for trace in figures["landscape-contour"]["data"]][1:] == ["adam · run 1", "sgd · run 2"]
    well(find(at.toggle, "With its race (1 more)").set_value(False).run())
    whole(at)
    assert len(figures["landscape-contour"]["data"]) == 2


def test_a_run_under_way_waits_for_a_click_and_goes_on_untouched(figures):
    job = process.conductor().submit("moons", ENDLESS, paused=True)
    take(job, 17)
    at = shown(job.number)
    assert "landscape-contour" not in figures
    well(find(at.button, "Compute it").click().run())
    whole(at)
    assert "As it was after step 17." in seen(at)
    take(job, 1)
    assert not well(at.run()).session_state["waits"]
    assert "As it was after step 17." in seen(at)
    job.stop()
    finish(job)


def test_it_can_be_cancelled_and_begun_anew(monkeypatch, figures):
    job, go_on, there = trained(), threading.Event(), threading.Event()
    compute = view.landscape

    def slow(*given):
        for number, found in enumerate(compute(*given)):
            if number == 40:
                there.set()
                go_on.wait(LONG)
            yield found

    monkeypatch.setattr(view, "landscape", slow)
    at = shown(job.number)
    assert there.wait(LONG)
    well(at.run())
    assert at.session_state["waits"]
    well(find(at.button, "Cancel").click().run())
    go_on.set()
    whole(at)
    assert "Cancelled after" in seen(at)
    assert len(figures["landscape-contour"]["data"][0]["z"]) == 6  # what was known stays
    well(find(at.button, "Compute it whole").click().run())
    whole(at)
    assert len(figures["landscape-contour"]["data"][0]["z"]) == 31


def test_what_nobody_looks_at_is_given_up_and_begun_again_for_who_does(monkeypatch, figures):
    monkeypatch.setattr(surveys, "UNSEEN", -1.0)
    job = trained()
    at = shown(job.number)
    wait_until(lambda: all(one.over and one.cancelled for one in surveys._surveys().kept.values()), LONG)
    monkeypatch.setattr(surveys, "UNSEEN", LONG)
    whole(at)
    assert len(figures["landscape-contour"]["data"][0]["z"]) == 31


def test_what_makes_no_landscape_is_a_sentence():
    job = trained(changed(MOONS, epochs=1))
    assert "random directions can be had" in seen(whole(shown(job.number)))


def test_an_error_of_the_program_is_not_hidden(monkeypatch):
    def broken(*given):
        raise KeyError("broken")

    monkeypatch.setattr(view, "landscape", broken)
    job = trained()
    at = shown(job.number)
    wait_until(lambda: at.run().exception, LONG)
    assert "broken" in at.exception[0].message


def test_a_regression_has_one_too(figures):
    job = trained(RECIPES["linear-regression"].recipe.model_copy(update={"epochs": 20}))
    at = whole(shown(job.number))
    assert "holds 100% of the path's variance" in seen(at).replace("\\", "")
    assert len(figures["landscape-contour"]["data"][0]["z"]) == 31


def test_what_becomes_whole_while_it_is_drawn_is_drawn_again(figures, monkeypatch):
    draw, begun = view.contour_figure, threading.Event()

    def slow(*what) -> dict:
        figure = draw(*what)
        begun.set()
        wait_until(lambda: all(one.over for one in surveys._surveys().kept.values()), LONG)
        return figure

    def gated(*what, **how):
        for number, found in enumerate(landscape(*what, **how)):
            if number == 50:
                begun.wait(LONG)
            yield found

    landscape = view.landscape
    monkeypatch.setattr(view, "contour_figure", slow)
    monkeypatch.setattr(view, "landscape", gated)
    job = trained()
    whole(shown(job.number))
    assert len(figures["landscape-contour"]["data"][0]["z"]) == 31
