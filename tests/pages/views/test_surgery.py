"""The view Surgery: it acts on the run that trains, or on a branch of one that is over, beside an untouched twin."""

import numpy as np
import pytest

from dlcore.catalogue.architectures import CNN, MLP, Recurrent
from dlcore.inside.layers import incoming
from dlcore.recipe import Recipe
from dlcore.recipes import RECIPES
from pages.parts.state import process
from pages.parts.views import surgery
from tests.pages.helpers import LONG, find, press, seen, well
from tests.pages.views.showing import paused, view
from tests.running import MOONS, changed, finish, settle, take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def made(job):
    return [(change.step, change.setting, change.value) for change in job.history.changes]


def finished():
    job = process.conductor().submit("moons", MOONS)
    finish(job)
    assert job.wait_saved(LONG)
    return job


def test_a_unit_of_a_run_that_trains_is_silenced_from_the_next_step_on():
    job = paused("two-moons")
    at = well(view("surgery").run())
    assert find(at.selectbox, "Layer").options == ["dense 1", "dense 2", "output"]
    well(find(at.number_input, "Unit").set_value(3).run())
    press(at, "Silence the unit")
    settle(job)
    assert made(job) == [(1, "surgery.silence.dense-1.3", True)]
    assert "Unit 3 of dense 1: its incoming weights have norm **0**" not in seen(well(at.run()))
    take(job, 1)
    norm = job.ask(lambda run: float(run.model[0].weight[2].norm())).result(LONG)
    assert f"norm **{norm:.3g}**" in seen(well(at.run()))


def test_a_layer_is_frozen_and_let_go_and_shaken(monkeypatch):
    monkeypatch.setattr(surgery, "DOUBLE", 0.0)
    job = paused("two-moons")
    at = well(view("surgery").run())
    well(find(at.selectbox, "Layer").select("dense-2").run())
    press(at, "Freeze the layer")
    settle(job)
    well(at.run())
    take(job, 1)
    press(at, "Let it learn")
    press(at, "Add the noise")
    settle(job)
    assert made(job) == [
        (1, "surgery.freeze.dense-2", True), (2, "surgery.freeze.dense-2", False), (2, "surgery.noise.dense-2", 0.1),
    ]  # fmt: skip


def test_of_a_run_that_is_over_a_branch_is_operated_on():
    job = finished()
    at = well(view("surgery").run())
    assert "A branch goes on from epoch 3; this run stays as it is." in seen(at)
    press(at, "Silence the unit")
    (branch,) = [one for one in process.jobs() if one is not job]
    finish(branch)
    assert branch.branch.epoch == 3
    assert made(branch) == [(12, "surgery.silence.dense.1", True)]
    assert "dense silenced" in branch.name
    assert made(job) == []


def test_a_twin_goes_on_untouched_from_the_same_checkpoint(figures):
    finished()
    at = well(view("surgery").run())
    well(find(at.toggle, "Beside an untouched twin").set_value(True).run())
    press(at, "Silence the unit")
    operated, twin = process.jobs()[-2:]
    finish(operated, twin)
    assert (operated.branch, made(twin)) == (twin.branch, [])
    assert operated.recipe == twin.recipe
    step = operated.branch.step
    assert operated.history.losses[:step].tobytes() == twin.history.losses[:step].tobytes()
    assert operated.history.losses[step] != twin.history.losses[step]
    well(at.run())
    traces = figures["surgery-loss"]["data"]
    assert len({trace["legendgroup"] for trace in traces}) == 2
    assert min(x for trace in traces for x in trace["x"]) >= step


def test_without_a_checkpoint_a_sentence_says_so(monkeypatch):
    paused("two-moons")
    at = well(view("surgery").run())
    well(find(at.toggle, "Beside an untouched twin").set_value(True).run())
    press(at, "Silence the unit")
    assert "has no checkpoint yet that a branch could go on from" in seen(at)
    assert len(process.jobs()) == 1


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_network_can_be_operated_on(name):
    recipe = RECIPES[name].recipe
    assert all(surgery.parts(recipe)[layer].path for layer in surgery.parts(recipe))


@pytest.mark.parametrize(
    "model", [MLP(widths=(5,)), CNN(channels=(3,)), Recurrent(cell="gru", hidden=4, layers=2)], ids=str
)
def test_what_leads_to_a_unit_is_measured_over_all_its_weights(model):
    job = process.conductor().submit("one", Recipe(model=model), paused=True)
    wait_until(lambda: job.ready, LONG)
    path, units = {"mlp": ("1", 5), "cnn": ("0", 3), "recurrent": ("cell", 4)}[model.kind]
    norms, state = job.ask(lambda run: (incoming(run, path), run.model.state_dict())).result(LONG)
    assert norms.shape == (units,)
    if model.kind == "recurrent":
        rows = [state[name][unit] for unit in (1, 5, 9) for name in ("cell.weight_ih_l1", "cell.weight_hh_l1")]
        assert norms[1] == pytest.approx(float(np.linalg.norm(np.concatenate([row.numpy() for row in rows]))), rel=1e-5)
    else:
        assert norms[1] == pytest.approx(float(state[f"{path}.weight"][1].norm()), rel=1e-5)


def test_a_branch_of_a_run_that_trains_leaves_it_alone(monkeypatch):
    job = process.conductor().submit("moons", changed(MOONS, epochs=1000), paused=True)
    take(job, 4)
    wait_until(lambda: process.store().epochs_kept(job.number), LONG)
    at = well(view("surgery").run())
    well(find(at.toggle, "Beside an untouched twin").set_value(True).run())
    press(at, "Freeze the layer")
    assert [one.branch.epoch for one in process.jobs()[-2:]] == [1, 1]
    assert made(job) == []
    for one in process.jobs():
        one.stop()
