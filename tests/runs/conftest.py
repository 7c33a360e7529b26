"""A store, and a run that is held, here or by another process."""

import pytest

from dlcore.runs.store import Store
from tests.running import forkserver, opened
from tests.runs.storing import checkpoint, entered, history, hold_it, record


@pytest.fixture(scope="module")
def forked():
    return forkserver()


@pytest.fixture
def runs(tmp_path):
    found = Store(tmp_path / "runs")
    yield found
    found.close()


@pytest.fixture
def holder(runs, forked):
    """Another process that holds a run until it is killed."""
    started = []

    def hold(number):
        held = forked.Event()
        started.append(forked.Process(target=hold_it, args=(runs.root, number, held)))
        started[-1].start()
        assert held.wait(60)
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def held(runs):
    """A run that is under way here, with another one that is over before it in the list."""
    entered(runs, record("over", history=history(2), status="finished"))
    one = record("live", history=history(3), status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one, [checkpoint(2), checkpoint(3)])
    return one


@pytest.fixture
def conductor(tmp_path):
    """One that keeps its runs, below `runs`."""
    with opened(tmp_path / "runs") as found:
        yield found


@pytest.fixture
def store(conductor):
    return conductor.store
