"""What a run needs before its first step, and what happens when it cannot be had."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dlcore.catalogue.datasets import Cifar10, DataError
from dlcore.engine import loading
from dlcore.engine.driver import Driver
from dlcore.recipes import RECIPES
from tests.engine.conducting import goes_on
from tests.running import ENDLESS, LONG, MOONS, finish
from tests.waiting import wait_until


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


def test_a_first_import_that_fails_fails_the_run_and_the_next_one_starts(conductor, monkeypatch):
    def refuse():
        raise ImportError("torchmetrics is broken")

    monkeypatch.setattr(loading, "prepare", refuse)
    racing = conductor.race([("a", MOONS), ("b", MOONS)])
    finish(*racing)
    assert {(job.status, job.failure.text) for job in racing} == {("failed", "ImportError: torchmetrics is broken")}
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


def test_torchvision_that_does_not_fit_torch_is_answered_before_the_metrics_fail_on_it(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("dlcore.catalogue.datasets.formats.importlib.import_module", broken)
    with pytest.raises(DataError, match=r"torchvision::nms does not exist.*reinstall both with `pip install"):
        loading.prepare()


@pytest.mark.slow
def test_threads_that_import_at_the_same_time_all_find_what_they_import_whole():
    """In a process of its own, where nothing of it is imported yet."""
    program = """
import subprocess
import sys
import threading
from pathlib import Path
from dlcore.catalogue.datasets import import_torchvision
from dlcore.engine.loading import prepare

failed = []

def each(function, *given):
    try:
        begin.wait()
        function(*given)
    except Exception as error:
        failed.append(error)

begin = threading.Barrier(5)
imported = [(prepare,), (prepare,), *((import_torchvision, name) for name in ("models", "datasets", "transforms"))]
threads = [threading.Thread(target=each, args=one) for one in imported]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
