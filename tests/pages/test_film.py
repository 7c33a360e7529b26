"""The film on Train: one slider that leads all that is drawn of a run."""

import re

import numpy as np
import pytest

from dlcore.recipes import RECIPES
from dlcore.runs.film import Film
from dlcore.runs.records import Stored
from pages.parts import film
from pages.parts.state import process
from tests.pages.helpers import LONG, choose, find, opened, press, seen, small, well
from tests.runs.storing import history
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def slider(at):
    return find(at.select_slider, "Epoch")


def finished(epochs=4):
    """A run of two moons that is over, whose page is drawn."""
    at = press(small(choose(opened(), "Recipe", "two-moons"), epochs), "Start")
    (job,) = process.jobs()
    assert job.wait(LONG)
    return well(at.run()), job


def test_the_slider_has_every_epoch_from_the_untrained_network_to_now():
    at, _ = finished()
    assert slider(at).options == ["0", "1", "2", "3", "4", "live"]
    assert slider(at).value == "live"


def test_everything_follows_the_slider(figures):
    at, job = finished()
    now, picture = seen(at), figures["fit"]
    accuracies = [row.val_accuracy for row in job.history.epochs]
    well(slider(at).set_value(1).run())
    wait_until(lambda: f"<b>{accuracies[0]:.1%}</b>" in seen(well(at.run())), LONG)
    assert figures["fit"] != picture
    well(slider(at).set_value("live").run())
    assert re.search(r"<b>[^<]*</b>", seen(at))[0] == re.search(r"<b>[^<]*</b>", now)[0]
    assert figures["fit"] == picture


def test_the_untrained_network_is_what_guessing_gives_or_near_it(figures):
    at, job = finished()
    well(slider(at).set_value(0).run())
    untrained = job.film.at(0)
    wait_until(lambda: "Fit" not in seen(well(at.run())), LONG)
    assert untrained.step == 0
    assert figures["fit"]["data"][0]["type"] == "heatmap"


def test_a_film_plays_from_its_beginning_to_now_and_stops(monkeypatch):
    monkeypatch.setattr(film, "FRAME", 2.0)
    at, _ = finished()
    shown = [slider(press(at, "Play")).value]  # whatever the machine does, its time is not over yet
    assert "Hold" in {button.label for button in at.button}
    monkeypatch.setattr(film, "FRAME", 0.0)
    wait_until(lambda: slider(well(at.run())).value != 0, LONG)
    while slider(at).value != "live":
        shown.append(slider(at).value)
        well(at.run())
    assert shown == [0, 1, 2, 3, 4]
    assert "Play" in {button.label for button in at.button}


def test_of_a_run_under_way_the_slider_has_all_epochs_and_those_to_come_are_now():
    at = press(small(choose(opened(), "Recipe", "two-moons"), 6), "Step")
    (job,) = process.jobs()
    for _ in range(job.steps_per_epoch + 1 if job.steps_per_epoch else 11):
        job.step()
    wait_until(lambda: len(job.film) > 1, LONG)
    well(at.run())
    assert slider(at).options == ["0", "1", "2", "3", "4", "5", "6", "live"]
    well(slider(at).set_value(6).run())
    assert "Epoch 6 is not there yet" in seen(at)


@pytest.mark.parametrize("epochs", [3, 199, 200, 1000, 99_999])
def test_the_slider_of_a_run_under_way_has_the_epochs_that_its_film_will_have(epochs):
    recipe = RECIPES["two-moons"].recipe.model_copy(update={"epochs": epochs})
    run = Stored(1, "run", recipe, history(2), status="training")
    whole = Film(start=0)
    marks = film.epochs_to_choose(run, whole)
    assert (marks[0], marks[-1]) == (0, epochs)
    assert len(marks) <= 201
    assert np.ptp(np.diff(marks[:-1])) == 0


def test_a_run_without_a_film_has_no_slider():
    process.conductor().frames = 0
    at, _ = finished()
    assert "Epoch" not in [one.label for one in at.select_slider]


def test_before_the_first_run_there_is_none():
    assert "Epoch" not in [one.label for one in opened().select_slider]
