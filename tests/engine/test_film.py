"""A run keeps frames of its network as it trains, which changes none of its numbers, and which go on as it does."""

import math

import pytest
import torch

from dlcore.catalogue.datasets import load
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.capture import Camera
from dlcore.engine.trainer import Trainer
from dlcore.engine.training import EpochEnd, Step
from dlcore.recipes import RECIPES
from dlcore.runs import film as filming
from dlcore.runs import reels
from dlcore.runs.film import Film, LookError
from tests.running import (
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    PER_EPOCH,
    Breaks,
    alone,
    as_if_killed,
    changed,
    fingerprint,
    finish,
    opened,
    take,
)
from tests.waiting import wait_until

LINE = changed(RECIPES["linear-regression"].recipe, epochs=30)


def begun(recipe, **how):
    trainer = Trainer(recipe, **how)
    trainer.begin(load(recipe.data))
    return trainer


def trained(trainer, each=lambda trainer, event: None):
    with trainer.own_random():
        while (event := trainer.advance()) is not None:
            each(trainer, event)
    return trainer


def weights_of(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def content(film):
    """What the frames hold, in a form that can be compared."""
    weights = lambda frame: {name: value.numpy().tobytes() for name, value in frame.weights.items()}  # noqa: E731
    return [(frame.epoch, frame.step, weights(frame), dict(frame.moved)) for frame in film]


def kept(job):
    return job._conductor.store.film(job.number)


@pytest.mark.parametrize("recipe", [DROPPING, LINE], ids=["moons", "line"])
def test_a_frame_is_the_network_after_its_epoch(recipe):
    trainer = begun(recipe)
    seen = {0: weights_of(trainer.run)}

    def note(trainer, event):
        if isinstance(event, EpochEnd):
            seen[event.epoch] = weights_of(trainer.run)

    film = trained(trainer, note).film
    assert film.epochs == tuple(range(recipe.epochs + 1))
    assert all(same(frame.weights, seen[frame.epoch]) for frame in film)
    assert [frame.step for frame in film] == [0] + [row.step for row in trainer.history.epochs]
    assert film.at(0).moved == {}


def test_what_moved_is_what_the_last_step_of_the_epoch_changed():
    states = []
    trainer = trained(
        begun(DROPPING), lambda trainer, event: isinstance(event, Step) and states.append(weights_of(trainer.run))
    )
    for frame in trainer.film[1:]:
        before, after = states[frame.step - 2], states[frame.step - 1]
        expected = {name: float((after[name] - before[name]).double().pow(2).sum().sqrt()) for name in before}
        assert frame.moved == pytest.approx(expected, rel=1e-5)
        assert min(frame.moved.values()) > 0


def test_nothing_is_copied_for_an_epoch_whose_frame_is_not_wanted(monkeypatch):
    copied = []
    before_step = Camera.before_step
    monkeypatch.setattr(Camera, "before_step", lambda camera: copied.append(camera) or before_step(camera))
    trained(begun(LINE, film=Film(most=0)))
    assert copied == []
    trainer = trained(begun(LINE, film=Film(most=4)))
    assert trainer.film.epochs == (0, 16, 30)
    assert len(copied) == 10  # after epochs 1, 2, 3, 4, 6, 8, 12, 16, 24, 30


@pytest.mark.parametrize("name", ["simplenet", "two-moons", "linear-regression"])
def test_numbers_are_the_same_with_and_without_a_film(name):
    recipe = changed(RECIPES[name].recipe, epochs=2)
    if recipe.data.kind == "mnist5k":
        recipe = changed(recipe, batch_size=512)
    without, film = (trained(begun(recipe, film=Film(most))) for most in (0, 200))
    assert same(weights_of(without.run), weights_of(film.run))
    assert without.history.losses.tobytes() == film.history.losses.tobytes()
    assert (len(without.film), len(film.film)) == (0, 3)


def test_frames_do_not_follow_the_network():
    trainer = begun(DROPPING)
    first = content(trainer.film)
    trained(trainer)
    assert content(trainer.film)[:1] == first


def test_a_network_too_large_for_a_frame_keeps_none(monkeypatch):
    monkeypatch.setattr(filming, "ROOM", 100)
    assert len(trained(begun(MOONS)).film) == 0


def test_the_film_of_a_job_can_be_read_while_it_trains(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, PER_EPOCH)
    before = job.film
    assert before.epochs == (0, 1)
    take(job, PER_EPOCH + 1)
    assert (before.epochs, job.film.epochs) == ((0, 1), (0, 1, 2))


def test_the_film_of_a_finished_run_is_kept(conductor_with_store):
    job = conductor_with_store.submit("moons", DROPPING)
    finish(job)
    assert job.wait_saved(LONG)
    assert content(kept(job)) == content(job.film)
    assert kept(job).epochs == tuple(range(DROPPING.epochs + 1))


def test_a_run_that_keeps_no_frames_has_none(tmp_path):
    with opened(tmp_path, frames=0) as conductor:
        job = conductor.submit("moons", MOONS)
        finish(job)
        assert job.wait_saved(LONG)
        assert len(job.film) == len(kept(job)) == 0


def test_an_interrupted_run_has_the_same_film_as_one_that_was_not(tmp_path, monkeypatch, quick_saving):
    with opened(tmp_path / "whole", frames=4) as conductor:
        whole = conductor.submit("whole", DROPPING)
        finish(whole)
        expected = fingerprint(whole)
    breaks = Breaks(monkeypatch)
    there = breaks.stand_still(PER_EPOCH + 5)  # within the second epoch
    with opened(tmp_path / "pieces", frames=4) as conductor:
        number = conductor.submit("pieces", DROPPING).number
        assert there.wait(LONG)
    with opened(tmp_path / "pieces", frames=4) as conductor:
        job = conductor.resume(number)
        finish(job)
        assert job.wait_saved(LONG)
        assert fingerprint(job) == expected
        assert content(job.film) == content(whole.film) == content(kept(job))


def test_a_killed_run_keeps_its_frames_and_loses_those_it_will_make_again(tmp_path, quick_saving):
    with opened(tmp_path / "runs") as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, PER_EPOCH * 3)
        root = as_if_killed(conductor.store, tmp_path / "left")
        expected = content(job.film)
    (root / str(job.number) / "epoch-3.pt").unlink()  # as if its last checkpoint had come too late
    with opened(root) as conductor:
        assert content(conductor.store.film(job.number)) == expected
        again = conductor.resume(job.number, paused=True)
        assert content(again.film) == content(conductor.store.film(job.number)) == expected[:3]
        again.resume()
        finish(again)
        assert fingerprint(again) == alone(DROPPING)
        assert content(again.film)[:4] == expected


def test_a_branch_has_a_film_of_its_own_from_where_it_left(tmp_path, quick_saving):
    with opened(tmp_path) as conductor:
        parent = conductor.submit("moons", DROPPING)
        finish(parent)
        assert parent.wait_saved(LONG)
        job = conductor.branch(parent.number, 5, "branch", changed(DROPPING, epochs=8))
        finish(job)
        assert job.wait_saved(LONG)
        assert kept(job).epochs == job.film.epochs == (5, 6, 7, 8)
        assert same(job.film.at(5).weights, parent.film.at(5).weights)
        with pytest.raises(LookError, match="4 epochs are kept, from 5 to 8, the nearest is 5"):
            kept(job).at(2)


def test_a_disk_that_fails_loses_no_frame(conductor_with_store):
    def refuse(*_):
        raise OSError("the disk failed")

    job = conductor_with_store.submit("moons", changed(DROPPING, epochs=40), pace=200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reels, "_write", refuse)
        wait_until(lambda: "the disk failed" in job.trouble)
        assert len(kept(job)) == 0
    finish(job)
    assert job.wait_saved(LONG)
    assert content(kept(job)) == content(job.film)
    assert len(job.film) == 41


def test_the_film_of_a_run_is_there_when_the_list_of_runs_was_lost(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING)
        finish(job)
        assert job.wait_saved(LONG)
    for file in tmp_path.glob("dlcore.db*"):
        file.unlink()
    with opened(tmp_path) as conductor:
        conductor.store.take_in(job.number)
        assert content(conductor.store.film(job.number)) == content(job.film)
        again = conductor.resume(job.number, {"epochs": DROPPING.epochs + 2})
        finish(again)
        assert again.film.epochs == tuple(range(DROPPING.epochs + 3))
        assert content(again.film)[: DROPPING.epochs + 1] == content(job.film)


def test_a_run_that_diverges_has_the_frames_before(conductor):
    job = conductor.submit("moons", changed(DROPPING, optimizer=SGD(lr=1e-3)), paused=True)
    take(job, PER_EPOCH)
    spoil = lambda run: [value.fill_(math.nan) for value in run.model.state_dict().values()] and None  # noqa: E731
    job.ask(spoil).result(LONG)
    job.resume()
    finish(job)
    assert job.status == "failed"
    assert job.film.epochs == (0, 1)


def test_a_run_that_was_let_go_holds_no_frames(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    job.driver.let_go()
    assert len(job.film) == 0


@pytest.fixture
def conductor_with_store(tmp_path, quick_saving):
    with opened(tmp_path) as found:
        yield found
