"""The conductor: how runs begin, are kept and let go, and how it ends."""

import contextlib
import threading
import weakref

import pytest

from dlcore.catalogue.architectures import CNN
from dlcore.catalogue.losses import MeanSquaredError
from dlcore.engine.conductor import Conductor
from dlcore.engine.training import score
from dlcore.runs.store import Store, StoreError
from dlcore.settings import SettingsError
from tests.engine.conducting import goes_on
from tests.running import ENDLESS, LONG, MOONS, alone, changed, fingerprint, finish, opened, take
from tests.waiting import wait_until

# Beginning


def test_problems_raise_before_anything_starts(conductor):
    bad = changed(MOONS, loss=MeanSquaredError(), model=CNN())
    with pytest.raises(SettingsError, match="needs pictures"):
        conductor.submit("bad", bad)
    with pytest.raises(SettingsError, match="needs pictures"):
        conductor.race([("good", MOONS), ("bad", bad)])
    assert conductor.jobs == []
    assert conductor._thread is None


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


# Letting go


def test_a_run_that_is_over_can_be_forgotten_and_one_under_way_cannot(conductor):
    over, going = conductor.submit("over", MOONS), conductor.submit("going", ENDLESS)
    finish(over)
    for job in (over, going):
        conductor.forget(job.number)
    assert conductor.jobs == [going]
    assert over.ask(lambda run: run.recipe).result(LONG) == MOONS  # whoever has it still may ask


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


# Closing


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


def test_a_conductor_that_never_had_a_job_closes():
    Conductor().close()


def test_what_runs_without_a_store_is_stopped_and_with_one_interrupted(tmp_path):
    for store, expected in ((None, "stopped"), (Store(tmp_path), "interrupted")):
        conductor = Conductor(threads=1, store=store)
        job = conductor.submit("moons", ENDLESS)
        conductor.close()
        assert job.status == expected


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


# What is saved, and what is not yet


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
