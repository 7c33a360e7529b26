"""A disk that fails pauses the runs that cannot be saved, loses nothing, and they go on when it works again."""

import contextlib
import resource
import shutil
import sqlite3
import subprocess
import threading

import pytest

from dlcore.runs import checkpoints, saving
from dlcore.runs.saving import Saver
from dlcore.runs.store import Store, StoreError
from tests.running import (
    CRAWL,
    DROPPING,
    ENDLESS,
    LONG,
    MOONS,
    PER_EPOCH,
    alone,
    as_if_killed,
    changed,
    fingerprint,
    finish,
    forkserver,
    in_pieces,  # noqa: F401 - for the child process
    measured,
    opened,
    settle,
    stands_still,
    stored,
    take,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")

LONGER = changed(DROPPING, epochs=12)


def crawling(conductor, steps):
    """A run that has taken so many steps, and takes a few more only when it is hurried."""
    job = conductor.submit("moons", LONGER, pace=CRAWL, paused=True)
    take(job, steps)
    job.resume()
    return job


def waits(job):
    """Whether a job in trouble takes no step, however quick it may be."""
    job.set_pace(None)
    return job.status == "paused" and stands_still(job)


def spoil_saving(patch, error):
    def refuse(*_):
        raise error

    patch.setattr(Store, "save", refuse)


@pytest.mark.parametrize("error", [StoreError("The disk is full."), ValueError("odd")], ids=["told", "unforeseen"])
def test_a_run_that_cannot_be_saved_waits_says_why_and_goes_on(conductor, store, error):
    expected = alone(LONGER)
    job = crawling(conductor, 3)
    with pytest.MonkeyPatch.context() as patch:
        spoil_saving(patch, error)
        wait_until(lambda: job.trouble)
        assert str(error) in job.trouble
        assert (job.status, job.active) == ("paused", True)
        assert waits(job)
        job.ask(lambda run: None).result(LONG)  # it can be asked as ever
        elapsed = job.elapsed
        job.step()  # nothing is done that could be lost
        assert stands_still(job)
        job.resume()
        assert job.elapsed == elapsed
    finish(job)
    assert job.wait_saved(LONG)
    assert fingerprint(job) == expected
    assert measured(store.open(job.number).history) == expected[:2]


def test_one_that_cannot_be_saved_hinders_no_other(conductor, monkeypatch):
    save = Store.save

    def refuse_one(self, record, found=()):
        if record.name == "luckless":
            raise StoreError("Not this one.")
        save(self, record, found)

    job = conductor.submit("luckless", changed(ENDLESS, seed=1))
    wait_until(lambda: job.ready)
    monkeypatch.setattr(Store, "save", refuse_one)
    other = conductor.submit("lucky", DROPPING)
    finish(other)
    assert other.wait_saved(LONG)
    wait_until(lambda: job.trouble)
    job.stop()
    finish(job)
    assert (job.status, job.wait_saved(0), other.status) == ("stopped", False, "finished")
    monkeypatch.setattr(Store, "save", save)
    assert job.wait_saved(LONG)  # its end is saved as soon as that works


def test_a_run_that_cannot_be_saved_can_be_closed_and_goes_on_from_what_was(tmp_path):
    expected = alone(DROPPING)
    with opened(tmp_path) as conductor, pytest.MonkeyPatch.context() as patch:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 5)
        tried, go_on = threading.Event(), threading.Event()

        def refuse(*_):
            tried.set()
            assert go_on.wait(LONG)
            raise StoreError("The disk is full.")

        patch.setattr(Store, "save", refuse)
        assert tried.wait(LONG)  # what was being saved before, is
        for _ in range(4):
            job.step()
        wait_until(lambda: job.history.steps > 5)
        go_on.set()
        wait_until(lambda: job.trouble)
        conductor.close()
        assert job.status == "interrupted"
        assert job.trouble == "The disk is full."
    assert stored(tmp_path, job.number).history.steps == 5
    with opened(tmp_path) as conductor:
        again = conductor.resume(job.number)
        assert again.history.steps == 4  # the last whole epoch
        finish(again)
        assert fingerprint(again) == expected


def test_checkpoints_that_wait_for_a_disk_do_not_pile_up(conductor, monkeypatch):
    monkeypatch.setattr(saving, "EVERY", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(Saver, "_save", lambda self, run: None)  # as long as one try takes
        job = conductor.submit("moons", changed(MOONS, batch_size="all", epochs=300))
        finish(job)
        waiting = conductor.saver._followed[job]
        assert len(waiting) <= checkpoints.KEPT + 4
        assert {299, 300, job.history.best.epoch} <= {one.epochs for one in waiting}
    assert job.wait_saved(LONG)
    assert {299, 300, job.history.best.epoch} <= set(conductor.store.epochs_kept(job.number))


def test_a_database_that_another_process_keeps_locked_pauses_the_run(conductor, store):
    expected = alone(LONGER)
    store.database._connection.execute("PRAGMA busy_timeout = 50")
    job = crawling(conductor, 3)
    blocker = sqlite3.connect(store.root / "dlcore.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    wait_until(lambda: job.trouble)
    assert "database is locked" in job.trouble
    assert waits(job)
    assert store.rows()[0]["name"] == "moons"  # it can be looked at all the while
    blocker.execute("ROLLBACK")
    blocker.close()
    finish(job)
    assert fingerprint(job) == expected


def test_a_disk_that_vanishes_and_comes_back(conductor, store):
    expected = alone(LONGER)
    job = crawling(conductor, 2 * PER_EPOCH - 1)
    away = store.root.with_name("away")
    store.root.rename(away)
    job.step()  # which ends an epoch: there is a checkpoint to be saved
    wait_until(lambda: job.trouble)
    job.resume()
    assert str(store.root) in job.trouble
    assert waits(job)
    with pytest.raises(StoreError, match="Runs cannot be kept"):
        conductor.submit("another", MOONS)
    assert not store.root.exists()
    away.rename(store.root)
    finish(job)
    assert job.wait_saved(LONG)
    assert fingerprint(job) == expected
    assert measured(store.open(job.number).history) == expected[:2]
    assert LONGER.epochs in store.epochs_kept(job.number)


def test_a_database_that_is_damaged_meanwhile_does_not_stop_the_run(conductor, store):
    expected = alone(LONGER)
    conductor.submit("done before", MOONS).wait(LONG)
    job = conductor.submit("moons", LONGER, paused=True)
    take(job, 6)
    store.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (store.root / "dlcore.db").open("r+b") as file:
        file.write(b"\xa5" * (store.root / "dlcore.db").stat().st_size)
    store.database._connection.execute("PRAGMA shrink_memory")  # what is in memory would hide it for a while
    job.resume()
    finish(job)
    assert job.wait_saved(LONG)
    assert fingerprint(job) == expected
    (row,) = store.rows()
    assert (row["number"], row["name"], row["status"]) == (job.number, "moons", "finished")
    assert measured(store.open(job.number).history) == expected[:2]
    assert "is damaged" in store.problem
    after = conductor.submit("after", MOONS)
    assert after.number == job.number + 1
    finish(after)


@pytest.mark.parametrize("paused", [False, True])
def test_a_folder_that_is_removed_meanwhile_takes_no_run_along(tmp_path, paused):
    """What trains is entered again, with its weights: it goes on from there after a kill, or after it was closed."""
    expected = alone(LONGER)
    with opened(tmp_path / "runs") as conductor:
        store = conductor.store
        conductor.submit("done before", MOONS).wait(LONG)
        job = conductor.submit("moons", LONGER, paused=True)
        take(job, 9)
        shutil.rmtree(store.root, ignore_errors=True)  # what is saved meanwhile is there again
        if not paused:
            job.step()
            wait_until(lambda: job.history.steps == 10)
            settle(job)
        wait_until(lambda: store.numbers() == [job.number])
        wait_until(lambda: measured(store.open(job.number).history) == measured(job.history))
        wait_until(lambda: [kept[:2] for kept in store.checkpoints(job.number)] == [(2, 0)])
        assert job.trouble == ""
        assert "was removed while it was in use" in store.problem
        killed = as_if_killed(store, tmp_path / "killed")
    for root in (killed, tmp_path / "runs"):
        with opened(root) as conductor:
            job = conductor.resume(job.number)
            assert job.history.steps in (8, 9 + (not paused))
            finish(job)
            assert fingerprint(job) == expected


def test_a_backup_that_is_restored_meanwhile_is_brought_up_to_date(conductor, store, tmp_path):
    expected = alone(LONGER)
    done = conductor.submit("done before", MOONS)
    finish(done)
    job = conductor.submit("moons", LONGER, paused=True)
    take(job, 9)
    backup = as_if_killed(store, tmp_path / "backup")
    after = conductor.submit("after", MOONS)
    finish(after)
    assert after.wait_saved(LONG)
    job.resume()
    wait_until(lambda: job.history.steps > 12)
    store.root.rename(tmp_path / "before")
    backup.rename(store.root)
    finish(job)
    assert job.wait_saved(LONG)
    assert fingerprint(job) == expected
    assert measured(store.open(job.number).history) == expected[:2]
    assert [row["name"] for row in store.rows()] == ["moons", "done before"]
    assert conductor.submit("another", MOONS).number == after.number  # of which nothing is left
    assert LONGER.epochs in store.epochs_kept(job.number)
    with opened(store.root) as other:
        assert other.store.open(job.number).status == "finished"


def test_a_run_that_cannot_be_entered_leaves_no_trace(conductor, store, monkeypatch):
    save, calls = Store.save, []

    def refuse_second(self, record, found=()):
        calls.append(record)
        if len(calls) == 2:
            raise StoreError("The disk is full.")
        save(self, record, found)

    monkeypatch.setattr(Store, "save", refuse_second)
    with pytest.raises(StoreError, match="The disk is full"):
        conductor.race([("a", MOONS), ("b", MOONS)])
    assert (conductor.jobs, conductor.queue, list(store._locks), store.rows()) == ([], [], [], [])
    job = conductor.submit("c", MOONS)
    finish(job)
    assert job.status == "finished"


# For real


def train_with_little_room(root, results):
    """In a process that may not write files beyond some size, for a while."""
    try:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        with opened(root) as conductor:
            job = crawling(conductor, 2 * PER_EPOCH)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
            wait_until(lambda: job.trouble)
            trouble, waited, steps = job.trouble, waits(job), job.history.steps
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            finish(job)
            assert job.wait_saved(LONG)
            found = fingerprint(job)
        results.put([trouble, waited, steps, found, measured(stored(root, job.number).history)])
    except BaseException as error:
        results.put(repr(error))


def test_a_process_that_may_not_write_any_more(tmp_path):
    context = forkserver()
    results = context.Queue()
    process = context.Process(target=train_with_little_room, args=(tmp_path / "runs", results))
    process.start()
    found = results.get(timeout=120)
    process.join()
    assert isinstance(found, list), found
    trouble, waited, steps, fingerprints, kept = found
    assert "Runs cannot be kept in" in trouble
    assert waited
    assert 0 < steps < LONGER.epochs * PER_EPOCH
    assert fingerprints == alone(LONGER)
    assert kept == fingerprints[:2]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, where this machine lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_full_and_has_room_again(small_disk):
    expected = alone(LONGER)
    with opened(small_disk / "runs") as conductor:
        job = crawling(conductor, 2 * PER_EPOCH)
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1000))
        wait_until(lambda: job.trouble)
        assert "make room there" in job.trouble
        assert str(small_disk / "runs") in job.trouble
        assert waits(job)
        with pytest.raises(StoreError, match="make room there"):
            conductor.store.describe(job.number, note="x" * 2_000_000)
        (small_disk / "filler").unlink()
        finish(job)
        assert job.wait_saved(LONG)
        assert fingerprint(job) == expected
    assert measured(stored(small_disk / "runs", job.number).history) == expected[:2]
