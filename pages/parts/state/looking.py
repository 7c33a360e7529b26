"""Networks that do not train here, asked by a thread of their own: those of the store, and those of a film's frames."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st

from dlcore.catalogue.datasets import Data
from dlcore.engine.job import Job
from dlcore.inside.errors import LookError
from dlcore.inside.samples import of_each_class, validation_pictures
from dlcore.recipe import Recipe, read
from dlcore.runs.checkpoints import CheckpointError
from dlcore.runs.film import Film
from dlcore.runs.records import Record, Stored
from pages.parts.state.process import REMEMBERED, jobs, record, store, stored_weights

if TYPE_CHECKING:
    from dlcore.engine.training import Run


@st.cache_resource(show_spinner=False)
def _thread() -> ThreadPoolExecutor:
    """One, so that looking takes one core at most; what is asked of a network meanwhile waits."""
    return ThreadPoolExecutor(1, "looking")


def job_of(run: Record) -> Job | None:
    """The job of this process that trains a run, or did."""
    return next((job for job in jobs() if job.number == run.number), None)


def film_of(run: Record) -> Film:
    """The frames that are kept of a run: of a job at hand those of now, else those on disk, of which the list is read
    once a second at most. Raises StoreError.
    """
    job = job_of(run)
    if not store() or (job and job.film):
        return job.film if job else Film()
    return _film_lately(run.number)


@st.cache_resource(show_spinner=False, ttl=1, max_entries=REMEMBERED)
def _film_lately(number: int) -> Film:
    run = record(number)
    return store().film(number, run if isinstance(run, Stored) else None)


def ask_stored(run: Record, epoch: int | None, function: Callable[[Run], Any], gradients: bool) -> Future:
    """What `function` makes of a run's network as it was after an epoch, or as it was left, with its data."""
    return _thread().submit(_answer, run, epoch, function, gradients)


def _answer(run: Record, epoch: int | None, function: Callable[[Run], Any], gradients: bool) -> Any:
    import torch

    from dlcore.catalogue.datasets import load
    from dlcore.engine.loading import prepare

    prepare()
    torch.set_num_threads(1)
    if epoch is None:
        network = stored_weights(run, best=False).network
        normalised_by = {"mean": network.data.mean, "std": network.data.std}
        network = replace(network, data=replace(load(network.recipe.data), **normalised_by))
    else:
        network = _at(run, epoch)
    network.model.eval()
    with torch.enable_grad() if gradients else torch.inference_mode():
        return function(network)


def ask_untrained(recipe: Recipe, function: Callable[[Run], Any]) -> Future:
    """What `function` makes of a recipe's network before its first step, with its data."""
    return _thread().submit(_answer_untrained, recipe, function)


def _answer_untrained(recipe: Recipe, function: Callable[[Run], Any]) -> Any:
    import torch

    from dlcore.engine.loading import prepare

    prepare()
    torch.set_num_threads(1)
    if not recipe.data.at_hand():
        raise LookError(f"{recipe.data.title} is not on this machine yet: Start downloads it, and shows its network.")
    network = _untrained(recipe.model_copy(update={"device": "cpu"}).to_json())
    with torch.inference_mode():
        return function(network)


@st.cache_resource(show_spinner=False, max_entries=2)
def _untrained(recipe: str) -> Run:
    from dlcore.catalogue.datasets import load
    from dlcore.engine.training import untrained

    parsed = read(recipe)
    return untrained(parsed, load(parsed.data))


def _at(run: Record, epoch: int) -> Run:
    """A run's network as it was after an epoch, by its recipe of then, with its data. Raises LookError when that epoch
    is not kept.
    """
    from dlcore.catalogue.datasets import load
    from dlcore.engine.capture import with_weights

    if run.branch and epoch < run.branch.epoch:
        parent, first = run.branch.parent, run.branch.epoch
        raise LookError(f"Run {run.number} began after epoch {first} of run {parent}: look at epoch {epoch} there.")
    frame = film_of(run).at(epoch)
    recipe = run.recipe_at(frame.step)
    weights = {name: value.clone() for name, value in frame.weights.items()}  # whatever is done to them, the film stays
    try:
        return with_weights(recipe, weights, load(recipe.data))
    except CheckpointError as error:
        raise LookError(f"The frame of epoch {epoch} of run {run.number} cannot be used: {error}.") from error


class Samples(NamedTuple):
    """Some validation samples of a data set, of every class."""

    places: np.ndarray  # in the validation split
    targets: np.ndarray
    pictures: np.ndarray  # (N, H, W, C) uint8


def validation_samples(data: Data, count: int, here: bool) -> Samples | None:
    """Once they are read; None until then, and where they would have to be downloaded, unless they are `here` now."""
    reading = _reading(data, count, here)
    return reading.result() if reading.done() and not reading.exception() else None


@st.cache_resource(show_spinner=False, max_entries=8)
def _reading(data: Data, count: int, here: bool) -> Future:
    return _thread().submit(_read_samples, data, count)


def _read_samples(data: Data, count: int) -> Samples | None:
    from dlcore.catalogue.datasets import load

    if not data.at_hand():
        return None
    whole = load(data)
    targets = whole.validation.targets.numpy()
    places = of_each_class(targets, count)
    return Samples(places, targets[places], validation_pictures(whole, places))
