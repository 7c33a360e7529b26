"""Runs wait until it is their turn; test_queue.py has the rules alone."""

import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.engine import loading, trainer
from dlcore.engine.conductor import Conductor
from tests.running import DROPPING, ENDLESS, MOONS, alone, changed, fingerprint, finish, opened, settle, take
from tests.waiting import wait_until


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


def test_a_pace_set_while_queued_holds_when_the_run_goes_on_elsewhere(tmp_path):
    with opened(tmp_path, at_once=1) as conductor:
        conductor.submit("first", ENDLESS)
        job = conductor.submit("moons", ENDLESS)
        job.set_pace(50.0)
        assert job.status == "queued"
        wait_until(lambda: conductor.store.open(job.number).history.changes)
    with opened(tmp_path) as conductor:
        assert conductor.resume(job.number, paused=True).pace == 50
