import contextlib
import time

import pytest

from dlcore.runs.retention import GRACE
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import checkpoint, entered, history, record


@pytest.fixture
def clock(monkeypatch):
    """The wall clock, to be set to so many seconds from now."""
    now = time.time()
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: now + seconds)


def opened_later(runs, clock, seconds):
    """The numbers of the runs that can be brought back after a start at that time."""
    clock(seconds)
    with contextlib.closing(Store(runs.root)) as later:
        return [row["number"] for row in later.rows(deleted=True)]


def test_a_day_later_and_another_one_it_is_gone_for_good_and_its_number_is_not_given_again(runs, clock):
    entered(runs, *[record(name, history=history(1), status="finished") for name in ("a", "b", "c")])
    for number in (2, 3):
        runs.save(runs.open(number), [checkpoint(1)])
        runs.delete(number)
    assert opened_later(runs, clock, GRACE - 60) == [3, 2]
    runs.bring_back(2)
    assert opened_later(runs, clock, GRACE + 60) == [3]  # as far as this clock can be believed
    assert opened_later(runs, clock, 2 * GRACE) == [3]
    assert opened_later(runs, clock, 2 * GRACE + 120) == []
    with contextlib.closing(Store(runs.root)) as later:
        assert later.numbers() == [1, 2]
        assert not (runs.root / "3").exists()
        assert (runs.root / "2" / "epoch-1.pt").exists()
        for table in ("losses", "epochs", "changes"):
            left = later.database._connection.execute(f"SELECT count(*) FROM {table} WHERE run = 3").fetchone()[0]
            assert left == 0, table
        assert later.create(record()) == 4


YEARS = 3 * 365 * GRACE


@pytest.mark.parametrize("jump", [GRACE + 60, YEARS])
def test_a_clock_that_jumps_ahead_and_back_takes_nothing_along(runs, clock, jump):
    entered(runs, record(status="finished"))
    runs.delete(1)
    for seconds in (60, jump, jump + 3600, 120, jump, jump + 60, 180, GRACE - 60):
        assert opened_later(runs, clock, seconds) == [1], seconds
    runs.bring_back(1)
    assert runs.open(1).deleted is None
    runs.delete(1)  # what was found out before is not held against it
    assert opened_later(runs, clock, 2 * GRACE + 600) == [1]


def test_a_clock_that_is_set_back_keeps_nothing_for_ever(runs, clock):
    entered(runs, record(status="finished"))
    clock(YEARS)
    runs.delete(1)
    assert opened_later(runs, clock, 0) == [1]
    assert opened_later(runs, clock, GRACE - 60) == [1]
    assert opened_later(runs, clock, GRACE + 60) == [1]
    assert opened_later(runs, clock, 2 * GRACE + 120) == []


def test_what_cannot_be_removed_at_a_start_keeps_nobody_from_starting(runs, clock, monkeypatch):
    entered(runs, record(status="finished"))
    runs.delete(1)
    assert opened_later(runs, clock, GRACE + 60) == [1]

    def refuse(self, number):
        raise StoreError("Not now.")

    clock(3 * GRACE)
    monkeypatch.setattr(Store, "remove", refuse)
    with contextlib.closing(Store(runs.root)) as later:
        assert later.problem == "Not now."
        assert [row["number"] for row in later.rows(deleted=True)] == [1]
