"""A page that shows one view of the run that was begun last, and films made by hand."""

from concurrent.futures import Future

import pytest
from streamlit.testing.v1 import AppTest

from dlcore.catalogue.datasets import load
from dlcore.engine.job import Job
from dlcore.engine.training import build
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.film import Frame
from pages.parts.state import process
from tests.pages.helpers import LONG
from tests.waiting import wait_until


def paused(name: str, **changes) -> Job:
    """A run after its first step."""
    recipe = RECIPES[name].recipe.model_copy(update=changes)
    job = process.conductor().submit(name, recipe, paused=True)
    wait_until(lambda: job.ready, LONG)
    job.step()
    wait_until(lambda: job.history.steps == 1, LONG)
    return job


def _page(view: str, epoch: int | None, function: str, count: int) -> None:
    import importlib

    from pages.parts.state.process import jobs
    from pages.parts.views.subject import Subject

    shown = importlib.import_module(f"pages.parts.views.{view}")
    getattr(shown, function)(*(Subject(job, epoch) for job in jobs()[-count:]))


def view(name: str, epoch: int | None = None, function: str = "show", count: int = 1) -> AppTest:
    """Of the last run, or of the last two."""
    kwargs = {"view": name, "epoch": epoch, "function": function, "count": count}
    return AppTest.from_function(_page, default_timeout=LONG, kwargs=kwargs)


class Film(list):
    """Frames, as a film of the store has them."""

    @property
    def epochs(self) -> tuple[int, ...]:
        return tuple(frame.epoch for frame in self)

    def at(self, epoch: int) -> Frame:
        return next(frame for frame in self if frame.epoch == epoch)


def filmed(monkeypatch: pytest.MonkeyPatch, recipe: Recipe, count: int) -> Film:
    """A film of so many frames, from epoch 0 on, is kept of every run; networks at an epoch are asked at once."""
    network = build(recipe, load(recipe.data))
    weights = {name: value.clone() for name, value in network.model.state_dict().items()}
    moved = dict.fromkeys(dict(network.model.named_parameters()), 0.001)
    film = Film(Frame(epoch, epoch, weights, moved) for epoch in range(count))

    def ask(run, epoch, function, gradients) -> Future:
        future: Future = Future()
        future.set_result(function(network))
        return future

    monkeypatch.setattr("pages.parts.views.subject.film_of", lambda run: film)
    monkeypatch.setattr("pages.parts.views.subject.ask_stored", ask)
    return film
