import contextlib
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from dlcore.catalogue.architectures import CNN, MLP
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.datasets import Cifar10, Moons
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.engine import driver as driving
from dlcore.engine import loading, trainer
from dlcore.engine.conductor import Conductor
from dlcore.engine.driver import Driver
from dlcore.engine.job import Job
from dlcore.engine.predicting import predict
from dlcore.engine.training import score
from dlcore.history import History
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError
from tests.running import (
    CRAWL,
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    PER_EPOCH,
    alone,
    changed,
    few_digits,
    fingerprint,
    finish,
    opened,
    settle,
    stands_still,
    take,
)
from tests.waiting import wait_until

DROPOUT = changed(DROPPING, epochs=30)


# Statuses


def test_a_job_prepares_trains_and_finishes(conductor, monkeypatch):
    gate = threading.Event()
    original = loading.load
    monkeypatch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
    job = conductor.submit("moons", ENDLESS)
    assert (job.status, job.active, job.ready, job.progress, job.epoch) == ("preparing", True, False, 0, 0)
    assert job.remaining is None
    gate.set()
    wait_until(lambda: job.history.steps)
    assert (job.status, job.ready, job.steps_per_epoch) == ("training", True, PER_EPOCH)
    assert job.remaining > 0
    job.stop()
    finish(job)
    short = conductor.submit("short", MOONS)
    finish(short)
    assert (short.status, short.active, short.progress, short.epoch) == ("finished", False, 1, 3)
    assert short.remaining is None
    assert [row.step for row in short.history.epochs] == [4, 8, 12]
    assert short.failure is None


def test_the_validation_targets_and_answers_are_kept(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    assert job.targets.shape == job.predicted.shape == (40,)
    assert np.mean(job.targets == job.predicted) == job.history.epochs[-1].val_accuracy


def test_stop_ends_the_run_and_keeps_what_was_learned(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: len(job.history.epochs) > 1)
    job.stop()
    finish(job)
    steps = job.history.steps
    assert job.status == "stopped"
    assert 0 < steps < job.total_steps
    assert len(job.history.losses) == steps
    assert job.ask(lambda run: score(run, run.data.test).loss).result(LONG) > 0
    assert job.history.steps == steps


def test_a_job_that_is_over_can_be_neither_resumed_nor_stepped_nor_stopped(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    for change in (job.pause, job.resume, job.step, job.stop):
        change()
    settle(job)
    assert (job.status, job.history.steps) == ("finished", job.total_steps)


def test_a_job_can_be_stopped_while_it_prepares(conductor, monkeypatch):
    gate = threading.Event()
    original = loading.load
    monkeypatch.setattr(loading, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
    job = conductor.submit("moons", ENDLESS)
    job.stop()
    finish(job)
    gate.set()
    wait_until(lambda: not any(thread.name == "loading" for thread in threading.enumerate()))
    other = conductor.submit("next", MOONS)
    finish(other)
    assert (job.status, job.history.steps, other.status) == ("stopped", 0, "finished")


# Pause, resume, step


def test_pause_holds_and_resume_goes_on(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.pause()
    assert job.status == "paused"
    settle(job)
    steps = job.history.steps
    for _ in range(20):
        settle(job)
    assert job.history.steps == steps
    job.resume()
    wait_until(lambda: job.history.steps > steps)
    assert job.status == "training"


def test_a_job_can_start_paused_and_be_stepped_once_at_a_time_to_its_end(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    settle(job)
    assert (job.status, job.history.steps) == ("paused", 0)
    for count in range(1, 3 * PER_EPOCH + 1):
        job.step()
        # A step that ends an epoch evaluates it too.
        wait_until(lambda count=count: len(job.history.epochs) == count // PER_EPOCH and job.history.steps == count)
        settle(job)
        assert (job.status == "paused") == (count < 3 * PER_EPOCH)
        assert job.history.steps == count
        assert job.epoch == (count - 1) // PER_EPOCH + 1
    assert job.status == "finished"


def test_steps_asked_for_in_a_burst_are_all_taken_and_no_more(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    for _ in range(7):  # before it is ready, and so across the first epoch's end
        job.step()
    wait_until(lambda: job.history.steps == 7)
    settle(job)
    settle(job)
    assert job.history.steps == 7


def test_step_pauses_a_job_that_trains(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.step()
    assert job.status == "paused"
    wait_until(lambda: not job.wishes.steps)
    settle(job)
    steps = job.history.steps
    settle(job)
    assert job.history.steps == steps


def test_a_pace_keeps_a_job_active_until_full_speed_ends_it(conductor):
    job = conductor.submit("moons", MOONS, pace=CRAWL)
    wait_until(lambda: job.history.steps)
    assert job.active
    job.pause()
    settle(job)
    steps = job.history.steps
    settle(job)
    assert (job.status, job.history.steps) == ("paused", steps)
    job.resume()
    job.set_pace(None)
    finish(job)
    assert job.history.steps == 3 * PER_EPOCH


def test_the_pace_can_be_set_while_training(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)
    job.set_pace(CRAWL)
    wait_until(lambda: stands_still(job))  # the first paced steps may be due at once
    assert job.status == "training"
    steps = job.history.steps
    job.set_pace(None)
    wait_until(lambda: job.history.steps > steps + 10)


def test_the_clocks_stand_still_while_paused(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps > 10)
    job.pause()
    settle(job)
    seen = job.elapsed, job.remaining, job.steps_per_second
    for _ in range(10):
        settle(job)
    assert (job.elapsed, job.remaining, job.steps_per_second) == seen
    assert job.elapsed > 0
    job.resume()
    wait_until(lambda: job.elapsed > seen[0])


def test_the_clock_stands_still_when_the_job_is_over(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    elapsed = job.elapsed
    settle(job)
    assert job.elapsed == elapsed > 0


# Asking


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


def test_fifty_questions_that_draw_random_numbers_change_nothing(conductor):
    job = conductor.submit("moons", DROPOUT, paused=True)
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
    assert fingerprint(job) == alone(DROPOUT)


# The same numbers, always


@pytest.fixture
def small_digits(monkeypatch):
    small, original = few_digits(), loading.load
    monkeypatch.setattr(
        loading, "load", lambda data, *rest: small if data.kind == "mnist-5k" else original(data, *rest)
    )


AUGMENTED = Recipe(
    model=CNN(channels=(4,), dense=8), augmentation=Augmentation(shift=0.1, rotate=20), batch_size=32, epochs=3
)


@pytest.mark.parametrize("recipe", [DROPOUT, AUGMENTED], ids=["dropout", "augmentation"])
@pytest.mark.usefixtures("small_digits")
def test_numbers_are_the_same_repeated_and_beside_three_others(conductor, recipe):
    expected = alone(recipe)
    assert alone(recipe) == expected
    others = [
        conductor.submit("dropout", changed(DROPOUT, seed=5, epochs=100000)),
        conductor.submit("augmented", changed(AUGMENTED, seed=6, epochs=100000)),
        conductor.submit("plain", ENDLESS),
    ]
    for other in others:
        wait_until(lambda other=other: other.history.steps > 3)
    job = conductor.submit("beside", recipe)
    finish(job)
    assert all(other.status == "training" for other in others)
    assert fingerprint(job) == expected


def test_another_seed_gives_other_numbers():
    assert alone(MOONS)[0] != alone(changed(MOONS, seed=1))[0]


def test_numbers_are_the_same_paused_stepped_and_resumed_at_odd_places(conductor, monkeypatch):
    expected = alone(DROPOUT)  # first: a process has one set of generators, which two conductors cannot share
    other = conductor.submit("other", changed(DROPOUT, seed=9, epochs=100000))
    wait_until(lambda: other.history.steps)
    job = conductor.submit("moons", DROPOUT, paused=True)
    places, advance = (3, 4, 13, 18, 37, 99), Driver.advance

    def watched(driver):  # on the training thread: nobody else would be there in time
        advance(driver)
        if driver.job is job and job.history.steps in places:
            job.pause()

    monkeypatch.setattr(Driver, "advance", watched)
    for place, burst in zip(places, (1, 0, 2, PER_EPOCH, 5, 3), strict=True):
        before = job.history.steps
        for _ in range(burst):
            job.step()
        wait_until(lambda before=before, burst=burst: job.history.steps == before + burst)
        job.resume()
        wait_until(lambda: job.status == "paused")
        settle(job)
        assert job.history.steps == place
    job.resume()
    finish(job)
    assert fingerprint(job) == expected


def test_numbers_are_the_same_in_a_race(conductor):
    recipes = [DROPOUT, changed(DROPOUT, optimizer=SGD()), changed(DROPOUT, batch_size=10)]
    racing = conductor.race([(str(number), recipe) for number, recipe in enumerate(recipes)])
    finish(*racing)
    assert [fingerprint(job) for job in racing] == [alone(recipe) for recipe in recipes]


# Failures


class Breaks(nn.Linear):
    def forward(self, inputs):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 5:
            raise RuntimeError("a gasket blew\nsecond line")
        return super().forward(inputs)


def test_an_exception_in_training_fails_its_job_with_a_traceback_and_no_other(conductor, monkeypatch):
    original = MLP.build
    monkeypatch.setattr(
        MLP,
        "build",
        lambda self, shape, outputs: Breaks(2, 2) if self.widths == (7,) else original(self, shape, outputs),
    )
    healthy = conductor.submit("healthy", changed(MOONS, epochs=50))
    broken = conductor.submit("broken", changed(ENDLESS, model=MLP(widths=(7,)), batch_size=16))
    finish(healthy, broken)
    assert (broken.status, broken.history.steps, len(broken.history.losses)) == ("failed", 4, 4)
    assert broken.failure.text == "RuntimeError: a gasket blew"
    assert "in forward" in broken.failure.traceback
    assert fingerprint(healthy) == alone(changed(MOONS, epochs=50))


def test_an_exception_while_building_fails_the_job(conductor, monkeypatch):
    def refuse(self, shape, outputs):
        raise MemoryError

    monkeypatch.setattr(MLP, "build", refuse)
    job = conductor.submit("huge", MOONS)
    finish(job)
    assert (job.status, job.failure.text) == ("failed", "MemoryError: no message")


DIVERGING = changed(RECIPES["simplenet"].recipe, loss=MeanSquaredError(), optimizer=SGD(lr=10.0))


@pytest.mark.usefixtures("small_digits")
def test_divergence_names_the_step_and_a_learning_rate_to_try(conductor):
    job = conductor.submit("wild", DIVERGING)
    finish(job)
    losses = job.history.losses
    bad = int(np.argmin(np.isfinite(losses))) + 1
    assert job.status == "failed"
    assert np.isfinite(losses[: bad - 1]).all()
    assert not np.isfinite(losses[bad - 1])
    assert job.failure.text.startswith(f"The loss stopped being a finite number at step {bad}.")
    assert "(1 instead of 10)" in job.failure.text
    assert job.failure.traceback == ""


@pytest.mark.usefixtures("small_digits")
def test_no_loss_that_is_not_a_number_is_lost_from_the_history(conductor):
    job = conductor.submit("wild", DIVERGING, paused=True)
    for _ in range(4):
        job.step()
    job.resume()
    finish(job)
    assert len(job.history.losses) == job.history.steps
    assert np.isnan(job.history.losses).any() or np.isinf(job.history.losses).any()
    assert job.history.first_bad_step is not None


def test_data_that_cannot_be_had_fail_the_job_with_one_sentence(conductor, monkeypatch, tmp_path):
    def refuse(self, root, report):
        raise ConnectionError("no route to host")

    monkeypatch.setenv("DLCORE_DATA", str(tmp_path))
    monkeypatch.setattr(Cifar10, "fetch", refuse)
    job = conductor.submit("cifar", RECIPES["cifar-lenet"].recipe)
    other = conductor.submit("moons", MOONS)
    finish(job, other)
    assert (job.status, other.status) == ("failed", "finished")
    assert "cifar10 is not under" in job.failure.text
    assert "could not be downloaded" in job.failure.text
    assert "\n" not in job.failure.text
    assert job.failure.traceback == ""
    with pytest.raises(RuntimeError, match="no network"):
        job.ask(lambda run: None)


def test_problems_raise_before_anything_starts(conductor):
    bad = changed(MOONS, loss=MeanSquaredError(), model=CNN())
    with pytest.raises(SettingsError, match="needs pictures"):
        conductor.submit("bad", bad)
    with pytest.raises(SettingsError, match="needs pictures"):
        conductor.race([("good", MOONS), ("bad", bad)])
    assert conductor.jobs == []
    assert conductor._thread is None


# Races


@pytest.mark.parametrize("turn", [0.0, 0.002])
def test_contestants_never_drift_apart_by_more_than_a_turn(conductor, monkeypatch, turn):
    monkeypatch.setattr(driving, "TURN", turn)
    sizes, trail = (8, 20, 32, "all"), []
    advance, turn = Driver.advance, Driver.turn

    def watched(driver):
        advance(driver)
        trail[-1].append(driver.job.progress)

    def turned(driver, interrupted):
        # Who is given a turn must have nobody behind it.
        trail.append([min(other.progress for other in conductor.jobs if other.active), driver.job.progress])
        turn(driver, interrupted)

    monkeypatch.setattr(Driver, "advance", watched)
    monkeypatch.setattr(Driver, "turn", turned)
    fields = [(str(size), changed(MOONS, epochs=10, batch_size=size)) for size in sizes]
    racing = conductor.race(fields)
    finish(*racing)
    assert [job.history.steps for job in racing] == [150, 60, 40, 10]
    assert len({job.race for job in racing}) == 1
    assert all(behind == before for behind, before, *_ in trail)
    if turn == 0:  # then a turn is one event, and nobody is ever a longer step ahead than its own
        assert max(after[-1] - behind for behind, _, *after in trail if after) <= 1 / 10 + 1e-9


def test_nobody_starts_before_everybody_is_there(conductor, monkeypatch):
    gate, original = threading.Event(), loading.load
    monkeypatch.setattr(
        loading, "load", lambda data, *rest: (data.samples == 200 or gate.wait(LONG)) and original(data, *rest)
    )
    early, late = conductor.race([("early", MOONS), ("late", changed(MOONS, data=Moons(samples=400)))])
    wait_until(lambda: early.ready)
    # It may take the turn in which both stand at zero, and then waits.
    wait_until(lambda: early.history.steps)
    settle(early)
    steps = early.history.steps
    for _ in range(10):
        settle(early)
    assert early.history.steps == steps
    gate.set()
    finish(early, late)


@pytest.mark.usefixtures("small_digits")
def test_one_that_diverges_leaves_and_the_others_finish(conductor):
    good = changed(RECIPES["simplenet"].recipe, epochs=20)
    fields = [("a", good), ("wild", changed(DIVERGING, epochs=20)), ("b", changed(good, optimizer=Adam(lr=0.01)))]
    racing = conductor.race(fields)
    finish(*racing)
    assert [job.status for job in racing] == ["finished", "failed", "finished"]


def test_a_paused_contestant_does_not_hold_up_the_others(conductor):
    one, two = conductor.race([("one", MOONS), ("two", MOONS)], paused=True)
    one.resume()
    finish(one)
    assert two.history.steps == 0
    two.resume()
    finish(two)


def test_races_are_told_apart_and_do_not_wait_for_each_other(conductor):
    first = conductor.race([("a", ENDLESS), ("b", ENDLESS)])
    second = conductor.race([("c", MOONS), ("d", MOONS)])
    finish(*second)
    assert first[0].race != second[0].race
    assert all(job.active for job in first)


# The conductor


def test_close_ends_every_job_and_the_thread():
    conductor = Conductor(threads=1)
    started = [conductor.submit("training", ENDLESS), conductor.submit("paused", ENDLESS, paused=True)]
    started += conductor.race([("a", ENDLESS), ("b", ENDLESS)])
    wait_until(lambda: all(job.ready for job in started))
    conductor.close()
    assert [job.status for job in started] == ["stopped"] * 4
    assert not conductor._thread.is_alive()
    wait_until(lambda: not any(thread.name == "loading" for thread in threading.enumerate()))
    conductor.close()  # twice is fine


def test_a_question_after_close_does_not_wait_for_ever():
    conductor = Conductor(threads=1)
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.ready)
    conductor.close()
    assert job.ask(lambda run: None).cancelled()


def test_a_conductor_that_never_had_a_job_closes():
    Conductor().close()


def test_jobs_submitted_and_stopped_from_several_threads_all_end(conductor):
    started, errors = [], []

    def hurry(number):
        try:
            for count in range(6):
                job = conductor.submit(f"{number}-{count}", changed(ENDLESS, seed=count), paused=count % 3 == 0)
                started.append(job)
                job.step()
                job.resume()
                if count % 2:
                    wait_until(lambda job=job: job.ready)
                    job.ask(lambda run: score(run, run.data.test)).result(LONG)
                job.set_pace(1000)
                job.stop()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=hurry, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not errors
    assert len(started) == 24
    finish(*started)
    assert {job.status for job in started} == {"stopped"}
    assert len({job.number for job in started}) == 24
    last = conductor.submit("last", MOONS)
    finish(last)
    assert last.status == "finished"


def test_a_run_that_is_over_can_be_forgotten_and_one_under_way_cannot(conductor):
    over, going = conductor.submit("over", MOONS), conductor.submit("going", ENDLESS)
    finish(over)
    for job in (over, going):
        conductor.forget(job.number)
    assert conductor.jobs == [going]
    assert over.ask(lambda run: run.recipe).result(LONG) == MOONS  # whoever has it still may ask


# The queue


@pytest.fixture
def one_at_a_time():
    conductor = Conductor(threads=1, at_once=1)
    yield conductor
    conductor.close()


def statuses(*started):
    return [job.status for job in started]


def test_runs_wait_their_turn_in_their_order(one_at_a_time):
    started = [one_at_a_time.submit(str(number), changed(MOONS, seed=number)) for number in range(4)]
    order = []

    def all_were_there():
        for job in started:
            if job.status not in ("queued", "preparing") and job not in order:
                order.append(job)
            if job.history.steps:  # whoever trains has nobody before it that is not over
                assert not any(other.active for other in started[: started.index(job)])
        return len(order) == len(started)

    wait_until(all_were_there, every=0.001)
    finish(*started)
    assert order == started
    assert one_at_a_time.queue == []
    assert [fingerprint(job) for job in started] == [alone(changed(MOONS, seed=number)) for number in range(4)]


def test_a_queued_run_waits_without_data_or_clock(one_at_a_time, monkeypatch):
    first = one_at_a_time.submit("first", ENDLESS)
    wait_until(lambda: first.history.steps)
    monkeypatch.setattr(loading, "load", lambda *_: pytest.fail("it loads its data already"))
    job = one_at_a_time.submit("second", MOONS)
    assert (job.status, job.active, job.ready, job.progress, job.elapsed, job.remaining) == (
        *("queued", True, False, 0, 0, None),
    )
    with pytest.raises(RuntimeError, match="second has no network yet"):
        job.ask(lambda run: None)


@pytest.mark.parametrize("at_once", [1, 2, 3, None])
def test_as_many_are_under_way_as_may_be(at_once):
    conductor = Conductor(threads=1, at_once=at_once)
    started = [conductor.submit(str(number), ENDLESS) for number in range(5)]
    most = at_once or 5
    wait_until(lambda: statuses(*started) == ["training"] * most + ["queued"] * (5 - most))
    conductor.set_at_once(4)
    wait_until(lambda: statuses(*started) == ["training"] * max(most, 4) + ["queued"] * min(5 - most, 1))
    conductor.set_at_once(1)  # nobody under way is sent back
    assert statuses(*started).count("training") == max(most, 4)
    conductor.set_at_once(None)
    wait_until(lambda: statuses(*started) == ["training"] * 5)
    conductor.close()


def test_a_paused_run_keeps_its_turn(one_at_a_time):
    first, second = (one_at_a_time.submit(name, ENDLESS, paused=name == "first") for name in ("first", "second"))
    wait_until(lambda: first.ready)
    settle(first)
    assert statuses(first, second) == ["paused", "queued"]
    first.stop()
    wait_until(lambda: second.history.steps)
    assert statuses(first, second) == ["stopped", "training"]


def test_a_queued_run_can_be_paused_and_is_then_when_its_turn_comes(one_at_a_time):
    first, second = (one_at_a_time.submit(name, ENDLESS) for name in ("first", "second"))
    second.pause()
    assert second.status == "queued"
    first.stop()
    wait_until(lambda: second.ready)
    settle(second)
    assert (second.status, second.history.steps) == ("paused", 0)


def test_a_queued_run_can_be_stopped(one_at_a_time):
    started = [one_at_a_time.submit(name, ENDLESS) for name in ("first", "second", "third")]
    started[1].stop()
    finish(started[1])
    assert (started[1].status, started[1].history.steps, started[1].ready) == ("stopped", 0, False)
    started[0].stop()
    wait_until(lambda: started[2].history.steps)
    assert statuses(*started) == ["stopped", "stopped", "training"]
    assert one_at_a_time.queue == []


def test_runs_can_change_places(one_at_a_time):
    started = [one_at_a_time.submit(str(number), ENDLESS) for number in range(5)]
    order = lambda: "".join(job.name for waiting in one_at_a_time.queue for job in waiting)  # noqa: E731
    assert order() == "1234"
    for job, places, expected in (
        *((3, -1, "1324"), (3, -99, "3124"), (3, 1, "1324"), (1, 99, "3241"), (2, 0, "3241"), (0, 1, "3241")),
    ):
        one_at_a_time.move(started[job], places)
        assert order() == expected
    started[0].stop()
    wait_until(lambda: started[3].history.steps)
    assert order() == "241"
    started[3].stop()
    wait_until(lambda: started[2].history.steps)


def test_a_race_waits_and_begins_as_one(one_at_a_time):
    first = one_at_a_time.submit("first", ENDLESS)
    racing = one_at_a_time.race([("a", MOONS), ("b", changed(MOONS, seed=1)), ("c", changed(MOONS, seed=2))])
    last = one_at_a_time.submit("last", MOONS)
    one_at_a_time.move(racing[1], 1)
    assert one_at_a_time.queue == [[last], racing]
    one_at_a_time.move(racing[2], -1)
    assert one_at_a_time.queue == [racing, [last]]
    assert statuses(*racing, last) == ["queued"] * 4
    racing[0].stop()
    finish(racing[0])
    first.stop()
    finish(*racing, last)
    assert statuses(*racing, last) == ["stopped", "finished", "finished", "finished"]
    assert [fingerprint(job) for job in racing[1:]] == [alone(changed(MOONS, seed=seed)) for seed in (1, 2)]


def test_contestants_count_as_one(one_at_a_time):
    racing = one_at_a_time.race([("a", ENDLESS), ("b", ENDLESS)])
    last = one_at_a_time.submit("last", MOONS)
    wait_until(lambda: all(job.history.steps for job in racing))
    racing[0].stop()
    finish(racing[0])
    settle(racing[1])
    assert last.status == "queued"  # the race is not over
    racing[1].stop()
    finish(last)


@pytest.mark.parametrize("how", ["data", "network"])
def test_one_that_cannot_begin_makes_room_for_the_next(one_at_a_time, monkeypatch, how):
    if how == "data":
        load = loading.load
        monkeypatch.setattr(loading, "load", lambda data, *rest: 1 / 0 if data.samples == 201 else load(data, *rest))
    else:
        build = trainer.build
        monkeypatch.setattr(trainer, "build", lambda recipe, data: 1 / 0 if recipe.seed == 1 else build(recipe, data))
    failing = one_at_a_time.submit("failing", changed(MOONS, data=Moons(samples=201), seed=1))
    job = one_at_a_time.submit("next", MOONS)
    finish(failing, job)
    assert statuses(failing, job) == ["failed", "finished"]


def test_close_ends_queued_runs_too(one_at_a_time):
    started = [one_at_a_time.submit(str(number), ENDLESS) for number in range(3)]
    one_at_a_time.close()
    assert statuses(*started) == ["stopped"] * 3


def test_runs_of_the_store_go_on_in_their_turn(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 5)
    with opened(tmp_path, at_once=1) as conductor:
        first = conductor.submit("first", ENDLESS)
        again = conductor.resume(job.number)
        assert (again.status, again.history.steps, again.epoch) == ("queued", 5, 2)
        wait_until(lambda: conductor.store.rows()[-1]["status"] == "queued")
        first.stop()
        finish(again)
        assert fingerprint(again) == alone(DROPPING)


def test_numbers_are_those_of_the_store(tmp_path):
    with opened(tmp_path) as conductor:
        started = [conductor.submit(name, MOONS) for name in ("a", "b")]
        started += conductor.race([("c", MOONS), ("d", MOONS)])
        finish(*started)
        assert [job.number for job in started] == [1, 2, 3, 4]
        assert [job.id for job in started] == ["1", "2", "3", "4"]
        assert [job.race for job in started] == [None, None, 3, 3]
        assert all(job.wait_saved(LONG) for job in started)
        assert [row["race"] for row in conductor.store.rows()] == [3, 3, None, None]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 101, "a\ud800b"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_kept(tmp_path, name):
    with opened(tmp_path) as conductor:
        for begin in (lambda: conductor.submit(name, MOONS), lambda: conductor.race([("a", MOONS), (name, MOONS)])):
            with pytest.raises(SettingsError, match="A run's name is one line of 1 to 100 letters"):
                begin()
        assert conductor.store.rows() == conductor.jobs == []


def test_saving_changes_no_number(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPOUT)
        finish(job)
        assert fingerprint(job) == alone(DROPOUT)


def test_the_best_weights_are_at_hand(conductor):
    job = conductor.submit("moons", changed(MOONS, optimizer=Adam(lr=0.3), epochs=8))
    finish(job)
    best = job.history.best
    assert job.best.epochs == best.epoch
    asked = job.ask(lambda run: predict(run, run.data.validation.inputs, job.best.model)).result(
        LONG
    )  # two moons are not normalised
    assert np.mean(asked.argmax(1).numpy() == job.targets) == best.val_accuracy


def test_what_runs_without_a_store_is_stopped_and_with_one_interrupted(tmp_path):
    for store, expected in ((None, "stopped"), (Store(tmp_path), "interrupted")):
        conductor = Conductor(threads=1, store=store)
        job = conductor.submit("moons", ENDLESS)
        conductor.close()
        assert job.status == expected


# What must not end the thread


def goes_on(conductor):
    """The thread is there, and trains what comes next."""
    after = conductor.submit("after", MOONS)
    finish(after)
    return after.status == "finished"


def test_losses_that_cannot_be_read_any_more_fail_their_run_alone(conductor, monkeypatch):
    beside = conductor.submit("beside", ENDLESS)
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, 3)
    lost = threading.Event()
    settle_all = History.settle

    def read(history):
        if lost.is_set() and history is job.history and history._pending:
            raise RuntimeError("the device is lost")
        settle_all(history)

    monkeypatch.setattr(History, "settle", read)
    lost.set()
    job.resume()
    finish(job)
    assert (job.status, job.failure.text) == ("failed", "RuntimeError: the device is lost")
    assert len(job.history.losses) == job.history.steps  # of those that were lost, it is known that there were any
    assert beside.status == "training"
    assert goes_on(conductor)


@pytest.mark.parametrize("act", [Job.stop, Job.resume], ids=["stopped", "at its end"])
def test_a_run_whose_last_state_does_not_fit_into_memory_has_failed(tmp_path, monkeypatch, act):
    def refuse(*_, **__):
        raise MemoryError("no room for a copy")

    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)
        monkeypatch.setattr(trainer, "capture", refuse)
        act(job)
        finish(job)
        assert (job.status, job.failure.text) == ("failed", "MemoryError: no room for a copy")
        assert job.wait_saved(LONG)
        assert conductor.store.open(job.number).status == "failed"
        monkeypatch.undo()
        assert goes_on(conductor)


def test_a_first_import_that_fails_fails_the_run_and_the_next_one_starts(conductor, monkeypatch):
    def refuse():
        raise ImportError("sklearn is broken")

    monkeypatch.setattr(loading, "prepare", refuse)
    racing = conductor.race([("a", MOONS), ("b", MOONS)])
    finish(*racing)
    assert {(job.status, job.failure.text) for job in racing} == {("failed", "ImportError: sklearn is broken")}
    monkeypatch.undo()
    assert goes_on(conductor)


def test_a_system_without_a_thread_to_spare_fails_the_run(conductor, monkeypatch):
    first = conductor.submit("first", ENDLESS)
    wait_until(lambda: first.history.steps)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    job = conductor.submit("second", MOONS)
    finish(job)
    assert (job.status, job.failure.text) == ("failed", "RuntimeError: can't start new thread")
    monkeypatch.undo()
    assert first.status == "training"
    assert goes_on(conductor)


def test_a_saver_that_raises_ends_neither_the_run_nor_the_thread(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)

        def refuse(*_, **__):
            raise ValueError("out of order")

        monkeypatch.setattr(conductor.saver, "save", refuse)
        job.stop()
        finish(job)
        assert job.trouble == "Its end cannot be saved: ValueError: out of order"
        monkeypatch.undo()
        assert goes_on(conductor)


def test_whatever_a_question_raises_is_the_askers(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.ready)

    def leave(run):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        job.ask(leave).result(LONG)
    assert job.status == "training"
    assert goes_on(conductor)


# Letting go


def test_runs_that_are_over_and_saved_are_answered_from_the_store(tmp_path):
    with opened(tmp_path) as conductor:
        networks = []
        for number in range(6):
            if number == 3:
                racing = conductor.race([("a", MOONS), ("b", MOONS)])
                finish(*racing)
            job = conductor.submit(str(number), MOONS)
            networks.append(job.ask(lambda run: weakref.ref(run.model)).result(LONG) if _ready(job) else None)
            finish(job)
            assert job.wait_saved(LONG)
            last, job = job.number, None
        wait_until(lambda: len(conductor.jobs) == 3)
        assert {one.number for one in conductor.jobs} == {last, *(one.number for one in racing)}
        going = conductor.submit("going", ENDLESS)  # by now, nothing else has the earlier ones
        wait_until(lambda: going.history.steps)
        assert [network() is not None for network in networks] == [False] * 5 + [True]
        assert len(conductor.store.rows()) == 9


def _ready(job):
    return wait_until(lambda: job.ready, every=0.001)


def test_without_a_store_few_of_those_that_are_over_keep_their_networks(conductor, monkeypatch):
    monkeypatch.setattr("dlcore.engine.conductor.AT_HAND", 2)
    started = [conductor.submit(str(number), MOONS) for number in range(4)]
    for job in started:
        finish(job)
    assert goes_on(conductor)
    wait_until(lambda: sum(job.ready for job in conductor.jobs) == 2)
    assert all(len(job.history.epochs) == 3 for job in started)  # what they measured stays
    past = next(job for job in started if not job.ready)
    with pytest.raises(RuntimeError, match="has no network any more"):
        past.ask(lambda run: None)


# Clicks and turns


def test_no_step_that_is_asked_for_is_lost_or_taken_twice(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: job.ready)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [job.step() for _ in range(100)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: not job.wishes.steps)
    finally:
        sys.setswitchinterval(interval)
    settle(job)
    assert job.history.steps == 800


def test_a_pace_set_while_queued_holds_when_the_run_goes_on_elsewhere(tmp_path):
    with opened(tmp_path, at_once=1) as conductor:
        conductor.submit("first", ENDLESS)
        job = conductor.submit("moons", ENDLESS)
        job.set_pace(50.0)
        assert job.status == "queued"
        wait_until(lambda: conductor.store.open(job.number).history.changes)
    with opened(tmp_path) as conductor:
        assert conductor.resume(job.number, paused=True).pace == 50


def test_a_run_never_has_fewer_epochs_than_have_begun(conductor, monkeypatch):
    """Epochs go by between the click and the step at which it holds."""
    job = conductor.submit("moons", changed(MOONS, epochs=50), paused=True)
    take(job, 4 * PER_EPOCH + 1)
    asked, go_on = threading.Event(), threading.Event()
    hear = Driver.hear

    def late(driver):
        asked.set()
        go_on.wait(LONG)
        with driver.trainer.own_random():
            while job.history.steps < 6 * PER_EPOCH:
                driver.advance()
        hear(driver)

    monkeypatch.setattr(Driver, "hear", late)
    job.steer({"epochs": 5})
    assert asked.wait(LONG)
    go_on.set()
    job.resume()
    finish(job)
    assert job.status == "finished"
    assert len(job.history.epochs) == job.recipe.epochs == 6
    assert job.notices == ("Epoch 6 had begun when the epochs were set to 5: it is the last.",)


def test_turns_are_fair_by_the_time_that_is_used(conductor, monkeypatch):
    """A network of a moment's step beside one whose step takes as long as ten turns."""
    advance = Driver.advance

    def slow(driver):
        end = time.monotonic() + 10 * driving.TURN
        advance(driver)
        while driver.job.name == "large" and time.monotonic() < end:
            pass

    monkeypatch.setattr(Driver, "advance", slow)
    large, small = conductor.submit("large", ENDLESS), conductor.submit("small", ENDLESS)
    wait_until(lambda: small.history.steps)
    begun = large.history.steps
    wait_until(lambda: large.history.steps > begun + 10)
    assert small.driver.used > large.driver.used / 2


def test_the_speed_is_what_a_person_gets(conductor):
    job = conductor.submit("moons", ENDLESS, pace=20.0)
    wait_until(lambda: job.history.steps > 40)
    assert 0 < job.steps_per_second < 25  # not the hundreds that it would do
    job.set_pace(None)
    finish_line = job.history.steps + 400
    wait_until(lambda: job.history.steps > finish_line)
    job.stop()
    finish(job)
    assert job.steps_per_second == pytest.approx(job.history.steps / job.elapsed)


def test_an_epochs_speed_counts_the_time_in_which_it_evaluates_and_waits(conductor):
    job = conductor.submit("moons", MOONS)
    finish(job)
    row = job.history.epochs[0]
    assert 0 < row.steps_per_second <= PER_EPOCH / row.seconds


def test_a_run_ends_once_though_its_data_fail_after_it_was_stopped(conductor, monkeypatch):
    gate, ends = threading.Event(), []

    def refuse(*_):
        gate.wait(LONG)
        raise OSError("no such file")

    save = Driver.save
    monkeypatch.setattr(
        Driver, "save", lambda driver, place=None, last=False: ends.append(last) or save(driver, place, last)
    )
    monkeypatch.setattr(loading, "load", refuse)
    job = conductor.submit("moons", MOONS)
    job.stop()
    finish(job)
    gate.set()
    monkeypatch.undo()
    assert goes_on(conductor)
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "loading"])
    assert (job.status, job.failure, ends.count(True)) == ("stopped", None, 1)


def test_a_run_that_is_forgotten_while_it_is_to_go_on_goes_on(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)
        job.stop()
        finish(job)
        go_on = Conductor._continued

        def forgetful(conductor, number, *rest):
            conductor.forget(number)
            return go_on(conductor, number, *rest)

        monkeypatch.setattr(Conductor, "_continued", forgetful)
        again = conductor.resume(job.number)
        assert conductor.jobs == [again]
        finish(again)
        assert fingerprint(again) == alone(MOONS)


# Who waits for whom


@pytest.mark.parametrize("at_once", [1, 2])
def test_contestants_that_go_on_one_by_one_do_not_wait_for_a_place_that_they_hold(tmp_path, at_once):
    with opened(tmp_path) as conductor:
        racing = conductor.race([("a", MOONS), ("b", MOONS)], paused=True)
        for job in racing:
            take(job, 1)
    with opened(tmp_path, at_once=at_once) as conductor:
        if at_once == 2:
            conductor.submit("beside", ENDLESS)
        again = [conductor.resume(job.number) for job in reversed(racing)]
        finish(*again)
        assert [job.status for job in again] == ["finished"] * 2


def test_a_fault_of_the_loop_itself_fails_what_is_under_way_and_the_thread_goes_on(conductor, monkeypatch):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.steps)

    def broken(conductor):
        raise OverflowError("timeout value is too large")

    monkeypatch.setattr(Conductor, "_next", broken)
    finish(job)
    monkeypatch.undo()
    assert (job.status, job.failure.text) == ("failed", "OverflowError: timeout value is too large")
    assert goes_on(conductor)


@pytest.mark.parametrize("pace", [0.0, -1.0, 1e-300, 1e12, float("nan")])
def test_a_pace_that_cannot_be_is_refused(conductor, pace):
    job = conductor.submit("moons", ENDLESS, paused=True)
    for ask in (
        lambda: conductor.submit("other", MOONS, pace=pace),
        lambda: conductor.race([("a", MOONS), ("b", MOONS)], pace=pace),
        lambda: job.set_pace(pace),
    ):
        with pytest.raises(SettingsError, match="it takes from 1e-06 to 1,000,000 steps a second, or none"):
            ask()
    assert conductor.jobs == [job]
    assert job.pace is None


def test_a_run_of_a_closed_conductor_leaves_nothing_behind(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", MOONS, paused=True)
        take(job, 1)
        conductor.close()
        for begin in (
            lambda: conductor.submit("late", MOONS),
            lambda: conductor.race([("a", MOONS), ("b", MOONS)]),
            lambda: conductor.resume(job.number),
        ):
            with pytest.raises(RuntimeError, match="closed"):
                begin()
        assert conductor.store.numbers() == [job.number]
        with contextlib.closing(Store(tmp_path)) as other:
            other.hold(job.number)


def test_a_run_whose_end_is_not_saved_yet_is_told_so_when_it_is_to_go_on(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", ENDLESS, paused=True)
        take(job, 1)

        def refuse(*_, **__):
            raise StoreError("The disk is full.")

        monkeypatch.setattr(conductor.store, "save", refuse)
        job.stop()
        wait_until(lambda: job.trouble)
        finish(job)
        with pytest.raises(StoreError, match=rf"The end of run {job.number} is not saved yet\. The disk is full\."):
            conductor.resume(job.number)


# When nothing is left to do


def test_a_conductor_is_idle_once_nothing_trains_and_everything_is_saved(tmp_path):
    with opened(tmp_path) as conductor:
        assert conductor.idle(0)
        job = conductor.submit("moons", ENDLESS)
        wait_until(lambda: job.history.epochs)
        assert not conductor.idle(0.05)
        job.pause()
        assert conductor.idle(LONG)
        assert conductor.store.open(job.number).history.steps == job.history.steps
        job.stop()
        assert conductor.idle(LONG)
        assert job.wait_saved(0)


def test_a_network_is_asked_with_the_cores_of_its_run_before_its_first_step_too(conductor):
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    assert job.ask(lambda run: torch.get_num_threads()).result(LONG) == conductor.threads == 1
