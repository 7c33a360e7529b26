"""What the network makes of the data: of the moment that the charts show, and a sentence where it cannot answer."""

import re

import pytest

from dlcore.engine.job import Job
from dlcore.recipes import RECIPES
from pages.parts import asking, boundary, panels
from pages.parts.state import process
from tests.pages.helpers import LONG, busy, choose, listen, opened, press, seen, under_way, well
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def reached(figure: dict) -> int:
    """The last step of a chart."""
    return max(step for line in figure["data"] for step in line["x"] if step is not None)


@pytest.mark.parametrize("recipe", ["two-moons", "linear-regression"])
def test_a_busy_network_is_a_sentence_beside_its_last_picture(monkeypatch, figures, recipe):
    at = choose(opened(), "Recipe", recipe)
    press(at, "Step")
    (job,) = process.jobs()
    wait_until(lambda: job.history.steps == 1, LONG)
    well(at.run())
    before = figures.pop("fit")
    job.step()
    wait_until(lambda: job.history.steps == 2, LONG)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    with busy(job):
        asked = listen(monkeypatch)
        for _ in range(3):
            well(at.run())
            assert asking.BUSY in seen(at)
            assert "The picture is of step 1." in seen(at)
            assert figures["fit"] == before
        assert asked == [job, job]  # for the boundary and for the network, and not again and again
    monkeypatch.setattr(asking, "PATIENCE", LONG)
    well(at.run())
    assert asking.BUSY not in seen(at)
    assert figures["fit"] != before


def test_a_network_that_is_busy_from_the_start_is_a_sentence(monkeypatch):
    at = opened()
    job = process.conductor().submit("moons", RECIPES["two-moons"].recipe, paused=True)
    wait_until(lambda: job.ready, LONG)
    monkeypatch.setattr(asking, "PATIENCE", 0.01)
    with busy(job):
        well(at.run())
        assert asking.BUSY in seen(at)
    wait_until(lambda: asking.BUSY not in seen(well(at.run())), LONG)


def test_a_network_that_cannot_answer_is_a_sentence(monkeypatch):
    def fail(run):
        raise RuntimeError("out of memory\nat some place")

    monkeypatch.setattr(boundary, "fit", fail)
    at = opened()
    under_way(at)
    assert "The network cannot answer: out of memory\n" in seen(at).replace("\\", "")


def test_what_a_page_shows_of_a_run_is_of_one_moment(monkeypatch, figures):
    at = opened()
    job = under_way(at)
    status = panels.status

    def goes_on(runs) -> None:
        """The run takes steps, into the next epoch, while the page is drawn."""
        status(runs)
        before = len(job.history.epochs)
        for _ in range(job.steps_per_epoch):
            job.step()
        wait_until(lambda: len(job.history.epochs) > before, LONG)

    monkeypatch.setattr(panels, "status", goes_on)
    for _ in range(3):
        well(at.run())
        told = re.search(r"step (\d+) of .* best epoch (\d+)", seen(at))
        step, best = map(int, told.groups())
        (table,) = [table.value for table in at.dataframe if "epoch" in table.value]
        before = (step - 1) // job.steps_per_epoch  # and an epoch's last step comes before its evaluation
        assert len(table) in ({before} if step % job.steps_per_epoch else {before, before + 1})
        assert list(table["epoch"]) == list(range(len(table), 0, -1))
        assert list(table["epoch"][table["best"] == "★"]) == [best]
        assert reached(figures["loss"]) == step
        assert reached(figures["accuracy"]) == table["step"][0]


def test_a_boundary_is_of_the_moment_that_the_charts_show(monkeypatch, figures):
    asked = []
    ask = Job.ask

    def later(job: Job, function, **how):
        """The run takes another step before it answers."""
        if not asked:  # the boundary's question, which comes first
            steps = job.history.steps
            job.step()
            wait_until(lambda: job.history.steps > steps, LONG)
            asked.append(job.history.steps)
        return ask(job, function, **how)

    at = opened()
    under_way(at)
    (job,) = process.jobs()
    before = job.history.steps
    job.step()
    wait_until(lambda: job.history.steps > before, LONG)  # or there would be nothing new to ask
    monkeypatch.setattr(Job, "ask", later)
    well(at.run())
    assert f"step {asked[-1]} of" in seen(at)
    assert reached(figures["loss"]) == asked[-1]
