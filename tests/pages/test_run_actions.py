"""What can be done with a run that is kept: going on, and branching from it."""

from pathlib import Path

import pytest
import streamlit as st

from dlcore.engine.conductor import Conductor
from dlcore.runs.store import Store
from pages.parts.state import process, tab
from tests.pages.helpers import enabled, find, go, opened, press, seen, told, well
from tests.pages.kept_runs import entered, fill, shown, trained
from tests.running import ENDLESS, LONG, MOONS, changed, finish, settle
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def interrupted(root: Path) -> int:
    """A run whose process ended after two of its three epochs and a step."""
    conductor = Conductor(threads=1, store=Store(root))
    job = conductor.submit("moons", MOONS, paused=True)
    wait_until(lambda: job.ready)
    for _ in range(9):
        job.step()
    wait_until(lambda: job.history.steps == 9 and job.saved_epochs == 2)
    conductor.close()
    conductor.store.close()
    return job.number


def test_an_interrupted_run_goes_on_and_train_shows_it(root):
    number = interrupted(root)
    at = press(shown(), "Resume")
    (job,) = process.jobs()
    assert (job.number, job.recipe) == (number, MOONS)
    assert find(at.button, "Start")  # this is the Train page
    assert "of 3 · step" in seen(at)
    finish(job)
    assert job.status == "finished"


def test_a_run_that_lacks_nothing_but_its_end_says_so_and_resume_ends_it(root):
    number = trained(process.conductor()).number
    process.conductor().close()
    store = process.store()
    store.database.write(lambda db: db.execute("UPDATE runs SET status = 'training'"))  # as a kill leaves it
    store.close()
    st.cache_resource.clear()
    assert any("was interrupted after its last epoch" in link.proto.label for link in opened().get("page_link"))
    at = shown(number)
    assert "all its epochs are done: Resume ends it" in seen(at)
    press(at, "Resume")
    (job,) = process.jobs()
    finish(job)
    assert (job.status, len(job.history.epochs)) == ("finished", MOONS.epochs)


def test_a_contestant_that_goes_on_alone_is_on_train_and_in_its_race(root):
    elsewhere = Conductor(threads=1, store=Store(root))
    racing = elsewhere.race([("a", MOONS), ("b", MOONS)], paused=True)
    wait_until(lambda: all(job.ready for job in racing))
    elsewhere.close()
    elsewhere.store.close()
    at = press(shown(racing[1].number), "Resume")
    (job,) = process.jobs()
    assert tab.shown_run() is job
    assert "of 3 · step" in seen(at)
    finish(job)
    assert [run.number for run in process.latest_race()] == [contestant.number for contestant in racing]
    assert "b came first" in seen(go(at, "compare"))  # of all that are in it, and a has no epoch done


def test_a_finished_run_goes_on_with_more_epochs(elsewhere):
    trained(elsewhere)
    at = shown()
    field = find(at.number_input, "Epochs in all")
    assert (field.min, field.value) == (4, 6)
    fill(at, at.number_input, "Epochs in all", 5)
    press(at, "Resume")
    (job,) = process.jobs()
    finish(job)
    assert [row.epoch for row in job.history.epochs] == [1, 2, 3, 4, 5]
    assert [change.setting for change in job.history.changes] == ["epochs"]


def test_a_run_that_its_rule_ended_goes_on_without_it(elsewhere):
    rules = MOONS.stop.model_copy(update={"accuracy": 0.01})
    assert trained(elsewhere, recipe=changed(MOONS, stop=rules)).reason
    at = shown()
    assert find(at.number_input, "Epochs in all").value == 3
    assert "The rules that end it early are turned off" in find(at.button, "Resume").help
    press(at, "Resume")
    (job,) = process.jobs()
    finish(job)
    assert len(job.history.epochs) == 3
    assert [change.setting for change in job.history.changes] == ["stop.accuracy"]


def test_what_cannot_go_on_is_told(root):
    number = entered(root, status="interrupted")
    at = shown()
    holder = Store(root)  # another process is quicker
    holder.hold(number)
    press(at, "Resume")
    assert "is under way already" in told(at)
    holder.release(number)
    holder.close()


def test_a_run_under_way_offers_no_resume(elsewhere):
    elsewhere.submit("going", ENDLESS)
    at = shown()
    assert "Resume" not in enabled(at)
    assert not [field for field in at.number_input if field.label == "Epochs in all"]


def test_a_branch_begins_on_the_train_page_at_the_best_epoch_or_another(elsewhere):
    run = trained(elsewhere)
    best = run.history.best.epoch
    at = shown()
    box = find(at.selectbox, "After epoch")
    assert box.options == [f"{epoch}, the best" if epoch == best else str(epoch) for epoch in (1, 2, 3)]
    assert box.value == best
    well(box.set_value(2).run())
    press(at, "Branch")
    assert "Start makes a branch" in seen(at)
    assert find(at.number_input, "Epochs").value == 3
    press(go(at, "train"), "Start")
    (job,) = process.jobs()
    assert (job.branch.parent, job.branch.epoch) == (run.number, 2)


def test_a_run_without_weights_cannot_branch(root):
    entered(root)
    at = shown()
    assert "Branch" not in enabled(at)
    assert find(at.selectbox, "After epoch").disabled


def test_a_run_of_another_process_is_paused_steered_stepped_and_stopped(elsewhere):
    job = elsewhere.submit("headless", ENDLESS)
    wait_until(lambda: job.history.steps and elsewhere.store.open(job.number).status == "training")
    at = press(shown(), "Pause")
    wait_until(lambda: job.status == "paused")
    wait_until(lambda: elsewhere.store.open(job.number).status == "paused")
    settle(job)
    steps = job.history.steps
    press(well(at.run()), "Step")
    wait_until(lambda: job.history.steps == steps + 1)
    press(well(at.run()), "Go on")
    wait_until(lambda: job.history.steps > steps + 1)
    press(well(at.run()), "Stop")
    finish(job)
    assert job.status == "stopped"
    assert job.wait_saved(LONG)
    assert not {"Pause", "Go on", "Step", "Stop"} & enabled(well(at.run()))
