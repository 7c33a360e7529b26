import pytest
import torch
from torch.optim import lr_scheduler

from dlcore.catalogue.schedules import Constant, Cosine, Exponential, LinearWarmup, OneCycle, Schedule, StepDecay
from dlcore.settings import choices

KINDS = choices(Schedule)
LR = 0.3


def by_torch(make, steps, every=1):
    """The factor at each step by a scheduler of PyTorch's, which is asked anew every so many steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    found = []
    for step in range(1, steps + 1):
        found.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        if step % every == 0 and step < steps:
            scheduler.step()
    return found


def onecycle(schedule, total):
    return lambda optimizer: lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=LR,
        total_steps=total,
        pct_start=schedule.warmup,
        div_factor=1 / schedule.start,
        final_div_factor=schedule.start / schedule.final,
        cycle_momentum=False,
    )


def warmup(schedule, per_epoch):
    rising = schedule.epochs * per_epoch
    if rising <= 1:
        return lambda optimizer: lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return lambda optimizer: lr_scheduler.LinearLR(
        optimizer, start_factor=1 / rising, end_factor=1.0, total_iters=round(rising) - 1
    )


# kind -> the same course by PyTorch: (scheduler, steps between two calls of it)
PEERS = {
    "constant": lambda s, total, per_epoch: (lambda o: lr_scheduler.ConstantLR(o, factor=1.0), 1),
    "step": lambda s, total, per_epoch: (lambda o: lr_scheduler.StepLR(o, s.every, s.gamma), per_epoch),
    "exponential": lambda s, total, per_epoch: (lambda o: lr_scheduler.ExponentialLR(o, s.gamma), per_epoch),
    "cosine": lambda s, total, per_epoch: (lambda o: lr_scheduler.CosineAnnealingLR(o, total, LR * s.final), 1),
    "one-cycle": lambda s, total, per_epoch: (onecycle(s, total), 1),
    "warmup": lambda s, total, per_epoch: (warmup(s, per_epoch), 1),
}
SCHEDULES = [
    Constant(),
    StepDecay(),
    StepDecay(every=2, gamma=0.3),
    Exponential(),
    Exponential(gamma=0.6),
    Cosine(),
    Cosine(final=0.2),
    OneCycle(),
    OneCycle(warmup=0.1, start=0.5, final=0.01),
    OneCycle(warmup=0.9),
    LinearWarmup(),
    LinearWarmup(epochs=2.5),
    LinearWarmup(epochs=0.1),
]


def course(schedule, epochs, per_epoch):
    return [schedule.factor(step, epochs * per_epoch, per_epoch) for step in range(epochs * per_epoch)]


def test_every_schedule_has_an_independent_computation_here():
    assert PEERS.keys() == KINDS.keys() == {schedule.kind for schedule in SCHEDULES}


@pytest.mark.parametrize(
    ("schedule", "epochs", "per_epoch"),
    [
        pytest.param(schedule, epochs, per_epoch, id=f"{schedule!r} {epochs} x {per_epoch}")
        for schedule in SCHEDULES
        for epochs, per_epoch in [(7, 6), (12, 10), (9, 2), (20, 1)]
        if schedule.kind != "warmup" or (schedule.epochs * per_epoch) % 1 == 0  # LinearLR knows whole steps only
    ],
)
def test_a_schedule_runs_the_course_of_pytorchs_own(schedule, epochs, per_epoch):
    total = epochs * per_epoch
    make, every = PEERS[schedule.kind](schedule, total, per_epoch)
    assert course(schedule, epochs, per_epoch) == pytest.approx(by_torch(make, total, every), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (1, 2), (2, 1), (3, 1), (1, 100)])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_a_run_as_short_as_can_be_has_a_learning_rate_at_every_step(schedule, epochs, per_epoch):
    factors = course(schedule, epochs, per_epoch)
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_the_factor_of_a_step_does_not_depend_on_what_was_asked_before(schedule):
    forwards = course(schedule, 5, 4)
    assert [schedule.factor(step, 20, 4) for step in reversed(range(20))] == forwards[::-1]


def test_warm_up_rises_evenly_and_then_stays():
    found = course(LinearWarmup(epochs=2), 4, 5)
    assert found[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert set(found[9:]) == {1.0}


def test_warm_up_over_a_broken_number_of_steps_still_arrives():
    found = course(LinearWarmup(epochs=0.35), 2, 10)
    assert found[:4] == pytest.approx([1 / 3.5, 2 / 3.5, 3 / 3.5, 1])


def test_one_cycle_starts_peaks_and_ends_where_its_settings_say():
    found = course(OneCycle(warmup=0.3, start=0.1, final=0.001), 10, 10)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1) == found[29]
    assert found[-1] == pytest.approx(0.001)


def test_cosine_falls_from_all_to_its_share():
    found = course(Cosine(final=0.1), 50, 20)
    assert found[0] == 1
    assert found[500] == pytest.approx(0.55)
    assert found[-1] == pytest.approx(0.1, abs=1e-4)
    assert sorted(found, reverse=True) == found
