"""A job is asked: between two steps, on the training thread, without a trace in the run."""

import threading

import numpy as np
import pytest
import torch

from dlcore.catalogue.optimizers import Adam
from dlcore.engine import loading
from dlcore.engine.conductor import Conductor
from dlcore.engine.predicting import predict
from tests.engine.conducting import DROPOUT, goes_on
from tests.running import ENDLESS, LONG, MOONS, alone, changed, fingerprint, finish, settle
from tests.waiting import wait_until


def test_a_question_is_answered_while_training_paused_finished_and_stopped(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.ready)
    raw = torch.zeros(1, 2)
    ask = lambda job: job.ask(lambda run: predict(run, raw)).result(LONG)  # noqa: E731
    assert ask(job).shape == (1, 2)
    assert job.status == "training"
    job.pause()
    assert torch.equal(ask(job), ask(job))
    job.stop()
    finish(job)
    assert torch.equal(ask(job), ask(job))
    short = conductor.submit("short", MOONS)
    finish(short)
    assert ask(short).shape == (1, 2)


def test_asking_before_there_is_a_network_raises(conductor, monkeypatch):
    gate = threading.Event()
    original = loading.load
    monkeypatch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
    job = conductor.submit("moons", MOONS)
    with pytest.raises(RuntimeError, match="moons has no network yet"):
        job.ask(lambda run: None)
    gate.set()
    finish(job)
    settle(job)


def test_a_question_runs_on_the_training_thread_in_eval_and_inference_mode(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    look = lambda run: (threading.current_thread().name, run.model.training, torch.is_inference_mode_enabled())  # noqa: E731
    assert job.ask(look).result(LONG) == ("conductor", False, True)


def test_a_question_that_fails_hurts_neither_the_job_nor_the_next_question(conductor):
    job = conductor.submit("moons", DROPOUT, paused=True)
    wait_until(lambda: job.ready)

    def fail(run):
        torch.rand(10)
        raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer"):
        job.ask(fail).result(LONG)
    job.resume()
    finish(job)
    assert fingerprint(job) == alone(DROPOUT)


def test_fifty_questions_that_draw_random_numbers_change_nothing(device, conductor):
    recipe = changed(DROPOUT, device=device)
    job = conductor.submit("moons", recipe, paused=True)
    wait_until(lambda: job.ready)

    def disturb(run):
        torch.manual_seed(0)
        torch.rand(10)
        run.model.train()
        return run.model(run.data.train.inputs).sum().item()

    for count in range(50):
        if count < 25:
            job.step()
        else:
            job.resume()
        job.ask(disturb).result(LONG)
    finish(job)
    assert fingerprint(job) == alone(recipe)


def test_a_network_is_asked_with_the_cores_of_its_run_before_its_first_step_too(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    assert job.ask(lambda run: torch.get_num_threads()).result(LONG) == conductor.threads == 1


def test_the_best_weights_are_at_hand(conductor):
    job = conductor.submit("moons", changed(MOONS, optimizer=Adam(lr=0.3), epochs=8))
    finish(job)
    best = job.history.best
    assert job.best.epochs == best.epoch
    asked = job.ask(lambda run: predict(run, run.data.validation.inputs, job.best.model)).result(
        LONG
    )  # two moons are not normalised
    assert np.mean(asked.argmax(1).numpy() == job.targets) == best.val_accuracy


def test_a_question_after_close_does_not_wait_for_ever():
    conductor = Conductor(threads=1)
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.ready)
    conductor.close()
    assert job.ask(lambda run: None).cancelled()


def test_whatever_a_question_raises_is_the_askers(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.ready)

    def leave(run):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        job.ask(leave).result(LONG)
    assert job.status == "training"
    assert goes_on(conductor)
