import threading
from pathlib import Path

import pytest

from dlcore.runs import folder
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import entered, record


def test_a_run_has_one_writer_whose_death_makes_it_interrupted(runs, holder):
    number = entered(runs, record(status="training"))
    assert runs.open(number).status == runs.rows()[0]["status"] == "interrupted"
    process = holder(number)
    assert runs.open(number).status == runs.rows()[0]["status"] == "training"
    for refused in (runs.hold, runs.delete):
        with pytest.raises(StoreError, match=f"Run {number} is under way"):
            refused(number)
    process.kill()
    process.join()
    assert runs.open(number).status == runs.rows()[0]["status"] == "interrupted"
    assert [row["number"] for row in runs.interrupted(5)] == [number]
    runs.hold(number)
    assert runs.open(number).status == "training"
    assert runs.interrupted(5) == []
    with pytest.raises(StoreError, match="under way already, here or in another process"):
        runs.hold(number)
    runs.release(number)
    runs.release(number)  # twice is fine
    assert runs.open(number).status == "interrupted"


@pytest.mark.parametrize("status", ["finished", "stopped", "failed", "interrupted"])
def test_what_is_over_stays_what_it_is(runs, status):
    number = entered(runs, record(status=status))
    assert runs.open(number).status == status
    runs.hold(number)
    assert runs.open(number).status == status


def test_many_who_look_at_once_never_take_each_other_for_the_writer(runs):
    number = entered(runs, record(status="training"))
    found, others = set(), [Store(runs.root) for _ in range(6)]

    def look(one):
        for _ in range(60):
            found.add(one.rows()[0]["status"])

    threads = [threading.Thread(target=look, args=[one]) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    assert found == {"interrupted"}
    runs.hold(number)  # nor do they keep the one away who wants to go on with it


def test_who_looks_is_not_taken_for_the_writer_where_looking_takes_the_lock(runs, monkeypatch, holder):
    """As on Windows, where there is nothing else to look with."""
    monkeypatch.setattr(folder, "fcntl", None)
    number = entered(runs, record(status="training"))
    looking, go_on, found = threading.Event(), threading.Event(), []

    class Slow(folder.FileLock):
        """The lock of a run, which the first to look holds for a long moment."""

        def __exit__(self, *error):
            if Path(self.lock_file).name == "lock" and not looking.is_set():
                looking.set()
                assert go_on.wait(60)
            super().__exit__(*error)

    monkeypatch.setattr(folder, "FileLock", Slow)
    others = [threading.Thread(target=lambda: found.append(runs.rows()[0]["status"])) for _ in range(3)]
    others[0].start()
    assert looking.wait(30)
    for thread in others[1:]:
        thread.start()
    others[1].join(0.5)  # one that takes the other for the writer says so at once
    go_on.set()
    for thread in others:
        thread.join(30)
    assert found == ["interrupted"] * 3
    runs.hold(number)
    assert runs.open(number).status == "training"
    runs.release(number)
    process = holder(number)
    assert runs.open(number).status == "training"
    process.kill()
    process.join()
    assert runs.open(number).status == "interrupted"
