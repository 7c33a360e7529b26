"""A device that fails fails the run that it was busy with, and nothing else."""

import math
from typing import NamedTuple

import pytest
import torch

from dlcore.engine import trainer
from dlcore.engine.job import Job
from dlcore.engine.training import score
from tests import standin
from tests.engine.conducting import goes_on
from tests.running import DROPPING, LONG, PER_EPOCH, alone, changed, fingerprint, finish, opened, take
from tests.standin import is_there

ON_GPU = changed(DROPPING, device=standin.RECIPES_SAY)
READING = "as losses are read"
MOMENTS = {
    "as data arrive": lambda name, given: name == "_copy_from" and is_there(given[1]),
    "in a step": lambda name, given: name == "_fused_adam_",
    "on the way back": lambda name, given: name == "threshold_backward",
    "in an evaluation": lambda name, given: name == "argmax",
    "at an epoch's last step": lambda name, given: name == "synchronize",
    "as a checkpoint is made": lambda name, given: name == "_copy_from" and is_there(given[0]) and given[0].dim() == 2,
    READING: lambda name, given: name == "cat" and given[0][0].is_floating_point(),
}


class Fault(NamedTuple):
    """What a device does that fails."""

    error: Exception
    lasting: bool  # nothing on it can be used or read any more

    @property
    def text(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


FAULTS = {
    "out of memory": Fault(torch.OutOfMemoryError("out of memory. Tried to allocate 2.00 GiB."), lasting=False),
    "lost": Fault(torch.AcceleratorError("an illegal memory access was encountered"), lasting=True),
}


@pytest.fixture
def gpu(monkeypatch, quick_saving):
    yield standin.stand_in(monkeypatch)
    standin.DEVICE.repair()


@pytest.fixture(params=FAULTS)
def fault(request):
    return FAULTS[request.param]


# Losses that cannot be read once are read later, if it is the saver that wanted them: see below.
CASES = [(fault, moment) for fault in FAULTS for moment in MOMENTS if (fault, moment) != ("out of memory", READING)]


@pytest.mark.parametrize(("fault", "moment"), CASES, indirect=["fault"])
def test_a_run_whose_device_fails_has_failed_and_all_others_are_as_alone(gpu, tmp_path, fault, moment):
    after = DROPPING if fault.lasting else ON_GPU
    expected, expected_after = alone(DROPPING), alone(after)
    with opened(tmp_path) as conductor:
        beside = conductor.submit("beside", DROPPING, paused=True)
        take(beside, 3)
        gpu.fail(fault.error, MOMENTS[moment], fault.lasting)
        # Other samples than those that are on the device already.
        job = conductor.submit("moons", changed(ON_GPU, data=ON_GPU.data.model_copy(update={"split_seed": 1})))
        beside.resume()
        finish(job, beside)
        assert (job.status, job.failure.text) == ("failed", fault.text)
        assert "Traceback" in job.failure.traceback
        assert len(job.history.losses) == job.history.steps
        assert fingerprint(beside) == expected
        assert job.wait_saved(LONG)
        kept = conductor.store.open(job.number)
        assert (kept.status, kept.failure, kept.history.steps) == ("failed", job.failure, job.history.steps)
        assert job.trouble == ""
        again = conductor.submit("after", after)
        finish(again)
        assert fingerprint(again) == expected_after


def test_a_failed_run_goes_on_from_its_last_checkpoint_once_the_device_is_well_again(gpu, tmp_path, fault):
    expected = alone(ON_GPU)
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", ON_GPU, paused=True)
        take(job, PER_EPOCH + 2)
        gpu.fail(fault.error, MOMENTS["in a step"], fault.lasting)
        job.resume()
        finish(job)
        assert job.status == "failed"
        assert job.wait_saved(LONG)
        gpu.repair()
        again = conductor.resume(job.number)
        finish(again)
        assert fingerprint(again) == expected


@pytest.mark.parametrize("act", [Job.stop, Job.resume], ids=["stopped", "at its end"])
def test_a_run_whose_last_state_cannot_be_had_has_failed(gpu, tmp_path, fault, act):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", changed(ON_GPU, epochs=1), paused=True)
        take(job, 1)
        gpu.fail(fault.error, MOMENTS["as a checkpoint is made"], fault.lasting)
        act(job)
        finish(job)
        assert (job.status, job.failure.text) == ("failed", fault.text)
        assert job.wait_saved(LONG)
        assert conductor.store.open(job.number).status == "failed"
        assert goes_on(conductor)


def test_losses_that_cannot_be_read_at_once_fail_their_run_and_are_known_all_the_same(gpu, conductor):
    fault = FAULTS["out of memory"]
    gpu.fail(fault.error, MOMENTS[READING], fault.lasting)
    job = conductor.submit("moons", ON_GPU)
    finish(job)
    assert (job.status, job.failure.text) == ("failed", fault.text)
    assert len(job.history.losses) == job.history.steps > 0
    assert all(map(math.isfinite, job.history.losses))
    assert goes_on(conductor)


@pytest.mark.parametrize(("check", "status"), [(0.0, "stopped"), (math.inf, "failed")], ids=["read", "not read yet"])
def test_a_run_on_a_device_that_is_lost_can_be_stopped(gpu, conductor, monkeypatch, check, status):
    """It has failed when there are losses that nobody had read."""
    monkeypatch.setattr(trainer, "CHECK", check)
    job = conductor.submit("moons", ON_GPU, paused=True)
    take(job, 3)
    break_now(gpu)
    job.stop()
    finish(job)
    assert job.status == status
    assert [math.isnan(loss) for loss in job.history.losses] == [status == "failed"] * 3
    assert goes_on(conductor)


def test_losses_that_only_the_saver_reads_fail_their_run_and_do_not_keep_it_waiting(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECK", math.inf)
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", ON_GPU, paused=True)
        take(job, 2)
        gpu.fail(FAULTS["lost"].error, MOMENTS[READING], lasting=True)
        job.step()
        finish(job)
        assert (job.status, job.failure.text, job.trouble) == ("failed", FAULTS["lost"].text, "")
        assert [math.isnan(loss) for loss in job.history.losses] == [False, False, True]
        assert job.wait_saved(LONG)
        assert goes_on(conductor)


def test_a_conductor_with_a_run_on_a_device_that_is_lost_can_be_closed(gpu, tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", ON_GPU, paused=True)
        take(job, 3)
        break_now(gpu)
    assert (job.status, job.failure.text) == ("failed", FAULTS["lost"].text)


def test_a_question_for_which_there_is_no_memory_is_the_askers(gpu, conductor):
    expected = alone(ON_GPU)
    job = conductor.submit("moons", ON_GPU, paused=True)
    take(job, 3)
    fault = FAULTS["out of memory"]
    gpu.fail(fault.error, MOMENTS["in an evaluation"], fault.lasting)
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
        job.ask(lambda run: score(run, run.data.test)).result(LONG)
    job.resume()
    finish(job)
    assert fingerprint(job) == expected


def break_now(gpu: standin.StandIn) -> None:
    """Whatever is done next on the device fails, and all after it."""
    gpu.fail(FAULTS["lost"].error, lambda name, given: True, lasting=True)
