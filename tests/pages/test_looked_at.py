"""A run's numbers are the same whether somebody looks all the time, with every view and at any epoch, or never."""

import random

import pytest

from dlcore.catalogue.datasets import Cifar10
from dlcore.recipes import RECIPES
from pages.parts.state import process
from tests.catalogue.datasets.files import write_cifar
from tests.pages.helpers import LONG, find, go, opened, press, well
from tests.running import alone, changed, fingerprint, finish, settle
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_process")]

STEPS = 3  # that may be taken between two looks


def short(name):
    """The named recipe, with as few steps as let every view be opened meanwhile."""
    recipe = RECIPES[name].recipe
    sizes = {"mnist5k": 512, "cifar10": 8}  # there are few photographs
    size = sizes.get(recipe.data.kind, recipe.batch_size)
    return changed(recipe, epochs=60 if size == "all" else 4, batch_size=size)


@pytest.fixture
def photographs(monkeypatch, tmp_path):
    """A few of CIFAR-10's, on disk."""
    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    write_cifar(tmp_path)


class Looks:
    """Somebody who opens one view after another, and moves the film."""

    def __init__(self, number, draw):
        self.draw, self.number, self.moved = draw, number, 0
        self.pages = {"inside": self._page("inside"), "train": self._page("train")}
        self.tabs = {"inside": "views", "train": "details"}
        self.views = [(page, tab.label) for page, at in self.pages.items() for tab in at.tabs]
        draw.shuffle(self.views)

    def _page(self, page):
        at = opened("train")
        if page == "inside":
            at.query_params["run"] = [str(self.number)]
            at = go(at, page)
        return at

    def look(self, page, view):
        at = self.pages[page]
        at.session_state[self.tabs[page]] = view
        for slider in at.select_slider:
            if slider.label == "Epoch":  # there is none as long as there is but one frame
                option = self.draw.choice(slider.options)
                slider.set_value(int(option) if option.isdigit() else option)
                self.moved += 1
        well(at.run())
        if view == "Landscape" and any(button.label == "Compute it" for button in at.button):
            press(at, "Compute it")


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_are_the_same_with_every_view_open_and_the_film_moved_or_unseen(name, request):
    if isinstance(RECIPES[name].recipe.data, Cifar10):
        request.getfixturevalue("photographs")
    recipe, draw = short(name), random.Random(f"looked at {name}")
    expected = alone(recipe)
    job = process.conductor().submit(name, recipe, paused=True)
    wait_until(lambda: job.ready, LONG)
    for _ in range(job.steps_per_epoch):
        job.step()
    wait_until(lambda: job.history.epochs, LONG)
    settle(job)
    eyes, seen = Looks(job.number, draw), 0
    for page, view in eyes.views:
        for _ in range(draw.randint(1, STEPS)):
            job.step()
        eyes.look(page, view)
        seen += job.active
    assert seen >= len(eyes.views) / 2  # while it trained
    assert eyes.moved > seen / 2
    job.resume()
    while job.active:
        eyes.look(*draw.choice(eyes.views))
    finish(job)
    assert fingerprint(job) == expected
    assert find(eyes.pages["inside"].multiselect, "Runs").value == [job.number]
