"""A moment of a run stays as it was, whatever the run does afterwards."""

import numpy as np

from dlcore.engine.job import TAKEN
from dlcore.history import History
from pages.parts.charts import accuracy_figure, loss_figure
from tests.running import ENDLESS, LONG, measured, settle, take
from tests.waiting import wait_until


def test_a_moment_is_like_its_run(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, 9)
    moment = job.now()
    for name in (*TAKEN, "recipe", "epoch", "total_steps", "progress", "active"):
        assert getattr(moment, name) is getattr(job, name) or getattr(moment, name) == getattr(job, name), name
    assert measured(moment.history) == measured(job.history)
    assert moment.history.best == job.history.best


def test_a_moment_stays_while_the_run_goes_on(conductor):
    job = conductor.submit("moons", ENDLESS, paused=True)
    take(job, 6)
    moment = job.now()
    before = measured(moment.history), loss_figure([moment]), accuracy_figure([moment]), moment.elapsed
    job.resume()
    wait_until(lambda: job.history.steps > 5000, LONG)  # so many that the curve lays its stretches together
    assert (measured(moment.history), loss_figure([moment]), accuracy_figure([moment]), moment.elapsed) == before
    assert (moment.history.steps, moment.status) == (6, "paused")


def test_moments_taken_while_it_trains_agree_with_themselves(conductor):
    job = conductor.submit("moons", ENDLESS)
    wait_until(lambda: job.history.epochs, LONG)
    for _ in range(100):
        history = job.now().history
        rows = list(history.epochs)
        assert history.steps == len(history.losses) >= rows[-1].step
        assert history.best in rows
        assert [row.epoch for row in rows] == list(range(1, len(rows) + 1))
    job.stop()
    settle(job)


def test_a_frozen_history_is_thinned_as_the_history_itself():
    losses = np.random.default_rng(0).random(10_000, dtype=np.float32)
    history = History(losses)
    frozen = history.frozen()
    for measure in (lambda curve: curve.thin(400), lambda curve: curve.means(200)):
        expected = measure(history.step_losses)
        history.extend(losses, [])
        np.testing.assert_array_equal(measure(frozen.step_losses), expected)
        history = History(losses)
