"""What fails fails one run: the others train on, and the thread never ends."""

import numpy as np
import pytest
from torch import nn

from dlcore.catalogue.architectures import MLP
from dlcore.engine.conductor import Conductor
from tests.engine.conducting import DIVERGING, goes_on
from tests.running import ENDLESS, MOONS, alone, changed, fingerprint, finish, opened, take
from tests.waiting import wait_until

# A run that fails


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


# What must not end the thread


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
