import threading

import numpy as np
import pytest
import torch
from torch import nn

from dlcore import jobs
from dlcore.architectures import CNN, MLP
from dlcore.augmentation import Augmentation
from dlcore.datasets import Cifar10, Dataset, Mnist5k, Moons, Split
from dlcore.jobs import Conductor, Job
from dlcore.losses import MeanSquaredError
from dlcore.optimizers import SGD, Adam
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from dlcore.settings import SettingsError
from dlcore.training import predict, score
from tests.waiting import wait_until

LONG = 60  # seconds that nothing here comes near
MOONS = Recipe(data=Moons(samples=200), model=MLP(widths=(8,)), batch_size=32, epochs=3)
PER_EPOCH = 4
ENDLESS = MOONS.model_copy(update={"epochs": 100000})


def changed(recipe, **fields):
    return recipe.model_copy(update=fields)


DROPPING = changed(MOONS, model=MLP(widths=(8,), dropout=0.5), epochs=30)


@pytest.fixture
def conductor():
    conductor = Conductor(threads=1)  # small networks: more threads would only wait for each other
    yield conductor
    conductor.close()


def settle(job):
    """Wait until the step in hand is done: a question is answered between two steps."""
    job.ask(lambda run: None).result(LONG)


def finish(*started):
    for job in started:
        assert job.wait(LONG), f"{job.name} is {job.status}"


def fingerprint(job):
    """Everything that a run's numbers are, but for what a clock measures."""
    assert job.status == "finished", job.failure
    weights = job.ask(lambda run: [value.numpy().tobytes() for value in run.model.state_dict().values()]).result(LONG)
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "steps_per_second")} for row in job.history.rows()]
    return job.history.losses.tobytes(), rows, weights, job.predicted.tobytes()


def alone(recipe):
    conductor = Conductor(threads=1)
    job = conductor.submit("alone", recipe)
    finish(job)
    found = fingerprint(job)
    conductor.close()
    return found


# Statuses


def test_a_job_prepares_trains_and_finishes(conductor, monkeypatch):
    gate = threading.Event()
    original = jobs.load
    monkeypatch.setattr(jobs, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
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
    original = jobs.load
    monkeypatch.setattr(jobs, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
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
    wait_until(lambda: job._steps_due == 0)
    settle(job)
    steps = job.history.steps
    settle(job)
    assert job.history.steps == steps


def test_a_pace_keeps_a_job_active_until_full_speed_ends_it(conductor):
    job = conductor.submit("moons", MOONS, pace=2)
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
    job.set_pace(0.001)
    settle(job)
    job.set_pace(0.001)  # the first paced step may be due at once; this one too, and then none for long
    wait_until(lambda: job._next_step > 0)
    settle(job)
    steps = job.history.steps
    for _ in range(10):
        settle(job)
    assert (job.history.steps, job.status) == (steps, "training")
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
    original = jobs.load
    monkeypatch.setattr(jobs, "load", lambda *arguments: gate.wait(LONG) and original(*arguments))
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
    job = conductor.submit("moons", DROPPING, paused=True)
    wait_until(lambda: job.ready)

    def fail(run):
        torch.rand(10)
        raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer"):
        job.ask(fail).result(LONG)
    job.resume()
    finish(job)
    assert fingerprint(job) == alone(DROPPING)


def test_fifty_questions_that_draw_random_numbers_change_nothing(conductor):
    job = conductor.submit("moons", DROPPING, paused=True)
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
    assert fingerprint(job) == alone(DROPPING)


# The same numbers, always


def pictures():
    """A few of MNIST's digits, so that a convolutional network is quick."""
    full = jobs.load(Mnist5k())
    cut = lambda split, count: Split(split.inputs[:count], split.targets[:count])  # noqa: E731
    return Dataset(cut(full.train, 200), cut(full.validation, 100), cut(full.test, 100), full.mean, full.std)


@pytest.fixture
def few_digits(monkeypatch):
    small, original = pictures(), jobs.load
    monkeypatch.setattr(jobs, "load", lambda data, *rest: small if data.kind == "mnist-5k" else original(data, *rest))


AUGMENTED = Recipe(
    model=CNN(channels=(4,), dense=8), augmentation=Augmentation(shift=0.1, rotate=20), batch_size=32, epochs=3
)


@pytest.mark.parametrize("recipe", [DROPPING, AUGMENTED], ids=["dropout", "augmentation"])
@pytest.mark.usefixtures("few_digits")
def test_numbers_are_the_same_repeated_and_beside_three_others(conductor, recipe):
    expected = alone(recipe)
    assert alone(recipe) == expected
    others = [
        conductor.submit("dropout", changed(DROPPING, seed=5, epochs=100000)),
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


def test_numbers_are_the_same_paused_stepped_and_resumed_at_odd_places(conductor):
    expected = alone(DROPPING)  # first: a process has one set of generators, which two conductors cannot share
    other = conductor.submit("other", changed(DROPPING, seed=9, epochs=100000))
    wait_until(lambda: other.history.steps)
    job = conductor.submit("moons", DROPPING, paused=True)
    for burst in (1, 2, 5, PER_EPOCH, 3):
        before = job.history.steps
        for _ in range(burst):
            job.step()
        wait_until(lambda before=before, burst=burst: job.history.steps == before + burst)
        job.resume()
        wait_until(lambda before=before, burst=burst: job.history.steps > before + burst)
        job.pause()
        settle(job)
    job.resume()
    finish(job)
    assert fingerprint(job) == expected


def test_numbers_are_the_same_in_a_race(conductor):
    recipes = [DROPPING, changed(DROPPING, optimizer=SGD()), changed(DROPPING, batch_size=10)]
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


@pytest.mark.usefixtures("few_digits")
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


@pytest.mark.usefixtures("few_digits")
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
    monkeypatch.setattr(jobs, "TURN", turn)
    sizes, trail = (8, 20, 32, "all"), []
    advance, take = Job._advance, Job._turn

    def watched(job):
        advance(job)
        trail[-1].append(job.progress)

    def turned(job, interrupted):
        # Who is given a turn must have nobody behind it.
        trail.append([min(other.progress for other in conductor.jobs if other.active), job.progress])
        take(job, interrupted)

    monkeypatch.setattr(Job, "_advance", watched)
    monkeypatch.setattr(Job, "_turn", turned)
    fields = [(str(size), changed(MOONS, epochs=10, batch_size=size)) for size in sizes]
    racing = conductor.race(fields)
    finish(*racing)
    assert [job.history.steps for job in racing] == [150, 60, 40, 10]
    assert len({job.race for job in racing}) == 1
    assert all(behind == before for behind, before, *_ in trail)
    if turn == 0:  # then a turn is one event, and nobody is ever a longer step ahead than its own
        assert max(after[-1] - behind for behind, _, *after in trail if after) <= 1 / 10 + 1e-9


def test_nobody_starts_before_everybody_is_there(conductor, monkeypatch):
    gate, original = threading.Event(), jobs.load
    monkeypatch.setattr(
        jobs, "load", lambda data, *rest: (data.samples == 200 or gate.wait(LONG)) and original(data, *rest)
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


@pytest.mark.usefixtures("few_digits")
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
