"""A branch goes on with the weights that a run had after an epoch, by a recipe of its own."""

import numpy as np
import pytest
import torch

from dlcore.catalogue.activations import Tanh
from dlcore.catalogue.architectures import MLP
from dlcore.catalogue.datasets import Moons, load
from dlcore.catalogue.losses import CrossEntropy, Huber, MeanSquaredError
from dlcore.catalogue.optimizers import SGD, Adam
from dlcore.catalogue.schedules import Cosine
from dlcore.catalogue.stopping import Stopping
from dlcore.engine.capture import restore
from dlcore.engine.training import Step, build, train
from dlcore.history import Change
from dlcore.runs.records import Branch
from tests.running import (
    DROPPING,
    ENDLESS,
    LONG,
    PER_EPOCH,
    alone,
    as_if_killed,
    changed,
    fingerprint,
    finish,
    measured,
    opened,
    stored,
    take,
    weights,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("quick_saving")

PLACES = [1, 3, 5]  # epochs


@pytest.fixture
def conductor(tmp_path):
    with opened(tmp_path / "runs") as found:
        yield found


def branched(conductor, parent, epoch, recipe, name="branch"):
    job = conductor.branch(parent.number, epoch, name, recipe)
    finish(job)
    assert job.status == "finished", job.failure
    assert job.wait_saved(LONG)
    return job


def by_hand(conductor, parent, epoch, recipe):
    """The losses and last weights of a branch, by the loop alone."""
    run = build(recipe, load(recipe.data))
    state, place = restore(run, conductor.store.checkpoint(parent.number, epoch))
    state.restore()
    losses = [event.loss.item() for event in train(run, place) if isinstance(event, Step)]
    return losses, [value.numpy().tobytes() for value in run.model.state_dict().values()]


# What it learns


@pytest.mark.parametrize("epoch", PLACES)
def test_a_branch_with_the_same_recipe_is_its_parent_again(conductor, parent, epoch):
    job = branched(conductor, parent, epoch, DROPPING)
    assert fingerprint(job) == fingerprint(parent)
    assert job.number != parent.number


OTHERS = {
    "optimizer": changed(DROPPING, optimizer=SGD(lr=0.1, momentum=0.9)),
    "learning rate": changed(DROPPING, optimizer=Adam(lr=0.1)),
    "dropout": changed(DROPPING, model=MLP(widths=(8,), dropout=0.1)),
    "activation": changed(DROPPING, model=MLP(widths=(8,), dropout=0.5, activation=Tanh())),
    "seed": changed(DROPPING, seed=9),
    "batch size": changed(DROPPING, batch_size=50),
    "all at once": changed(DROPPING, batch_size="all", epochs=40),
    "schedule": changed(DROPPING, schedule=Cosine()),
    "epochs": changed(DROPPING, epochs=9),
    "other data of the same shape": changed(DROPPING, data=Moons(samples=300, noise=0.3)),
}


@pytest.mark.parametrize("recipe", OTHERS.values(), ids=OTHERS)
def test_a_branch_learns_by_its_own_recipe(conductor, parent, recipe):
    job = branched(conductor, parent, 3, recipe)
    losses, last = by_hand(conductor, parent, 3, recipe)
    assert job.history.losses[12:].tolist() == np.float32(losses).tolist()
    assert weights(job) == last
    assert job.recipe == job.first_recipe == recipe
    assert len(job.history.epochs) == recipe.epochs
    assert fingerprint(job)[:3] != fingerprint(parent)[:3]
    assert measured(stored(conductor.store.root, job.number).history) == measured(job.history)


def test_the_parents_history_up_to_there_is_kept(conductor, parent):
    before = fingerprint(parent), conductor.store.checkpoints(parent.number)
    job = branched(conductor, parent, 2, changed(DROPPING, optimizer=SGD(lr=0.5)))
    assert job.history.losses[:8].tolist() == parent.history.losses[:8].tolist()
    assert job.history.epochs[:2] == parent.history.epochs[:2]
    assert job.history.losses[8:].tolist() != parent.history.losses[8:].tolist()
    assert job.branch == Branch(parent.number, 2, 8)
    assert job.elapsed > conductor.store.checkpoint(parent.number, 2).elapsed
    found = conductor.store.open(job.number)
    assert (found.branch, found.parent_name, found.name) == (job.branch, "parent", "branch")
    assert found.history.rows() == job.history.rows()
    (row,) = [row for row in conductor.store.rows() if row["number"] == job.number]
    assert (row["parent"], row["parent_epoch"], row["epoch"], row["epochs"]) == (parent.number, 2, 6, 6)
    assert (fingerprint(parent), conductor.store.checkpoints(parent.number)) == before


@pytest.mark.parametrize(("size", "per_epoch"), [(10, 12), (32, 4), (50, 3), (119, 2), ("all", 1)])
def test_steps_and_epochs_count_on_when_batches_have_another_size(conductor, parent, size, per_epoch):
    recipe = changed(DROPPING, batch_size=size, epochs=5)
    job = conductor.branch(parent.number, 2, "branch", recipe, paused=True)
    wait_until(lambda: job.ready)
    assert (job.history.steps, job.epoch, job.steps_per_epoch) == (8, 2, per_epoch)
    assert job.total_steps == 8 + 3 * per_epoch
    take(job, 1)
    assert job.epoch == 3
    job.resume()
    finish(job)
    assert [row.epoch for row in job.history.epochs] == [1, 2, 3, 4, 5]
    assert [row.step for row in job.history.epochs] == [4, 8, *(8 + per_epoch * count for count in (1, 2, 3))]
    assert (job.epoch, job.progress, job.history.steps) == (5, 1, job.total_steps)
    assert job.wait_saved(LONG)
    found = conductor.store.open(job.number)
    assert (found.epoch, found.progress, found.total_steps) == (5, 1, job.total_steps)


def test_the_schedule_of_a_branch_counts_its_own_epochs_from_the_parents_beginning(conductor, parent):
    recipe = changed(DROPPING, schedule=Cosine(), batch_size=50, epochs=6)
    job = branched(conductor, parent, 2, recipe)
    last = [(3 * epoch - 1) / 18 for epoch in (3, 4, 5, 6)]
    assert [row.lr for row in job.history.epochs[2:]] == pytest.approx(
        [recipe.optimizer.lr * (1 + np.cos(np.pi * share)) / 2 for share in last]
    )


def test_weights_do_not_move_between_parent_and_branch(conductor, parent):
    before = conductor.store.checkpoint(parent.number, 3)
    job = branched(conductor, parent, 3, changed(DROPPING, optimizer=Adam(lr=0.5)))
    after = conductor.store.checkpoint(parent.number, 3)
    first = conductor.store.checkpoint(job.number, 3)
    for one in (after, first):
        assert all(torch.equal(value, before.model[name]) for name, value in one.model.items())
        for number, state in before.optimizer["state"].items():
            assert all(torch.equal(value, one.optimizer["state"][number][name]) for name, value in state.items())


# What a parent changed on its way


def test_what_the_parent_changed_before_belongs_to_the_branch(conductor):
    parent = conductor.submit("parent", DROPPING, paused=True)
    for steps, changes in ((6, {"optimizer.lr": 0.05, "epochs": 9}), (6, {"model.dropout": 0.1}), (6, {"epochs": 7})):
        take(parent, steps)
        parent.steer(changes)
    parent.resume()
    finish(parent)
    assert parent.wait_saved(LONG)
    made = parent.history.changes
    assert [change.step for change in made] == [6, 6, 12, 18]
    recipe = parent.recipe_at(12)
    assert (recipe.optimizer.lr, recipe.model.dropout, recipe.epochs) == (0.05, 0.1, 9)
    job = branched(conductor, parent, 3, changed(recipe, epochs=7))
    assert fingerprint(job) == fingerprint(parent)  # the same from there on
    assert job.history.changes == made[:2]
    assert job.recipe == job.first_recipe
    assert conductor.store.open(job.number).recipe == job.recipe
    other = branched(conductor, parent, 3, DROPPING)
    assert other.recipe == DROPPING
    assert other.history.losses[12:].tolist() == np.float32(by_hand(conductor, parent, 3, DROPPING)[0]).tolist()


def test_a_branch_is_steered_like_any_run(conductor, parent):
    job = conductor.branch(parent.number, 3, "branch", DROPPING, paused=True)
    take(job, 2)
    job.steer({"optimizer.lr": 0.25})
    take(job, 0)
    copy = as_if_killed(conductor.store, conductor.store.root.with_name("killed"))
    job.resume()
    finish(job)
    assert job.history.changes == [Change(14, "optimizer.lr", 0.25)]
    expected = fingerprint(job)
    conductor.close()
    with opened(copy) as again:
        once_more = again.resume(job.number)
        finish(once_more)
        assert fingerprint(once_more) == expected


# Branches of branches, and broken-off ones


def test_a_branch_of_a_branch(conductor, parent):
    first = branched(conductor, parent, 2, changed(DROPPING, batch_size=50, optimizer=SGD(lr=0.1)), "first")
    job = branched(conductor, first, 4, changed(DROPPING, epochs=7), "second")
    assert (job.branch.parent, job.branch.epoch, job.branch.step) == (first.number, 4, 8 + 2 * 3)
    assert [row.step for row in job.history.epochs] == [4, 8, 11, 14, 18, 22, 26]
    assert job.history.losses[:14].tolist() == first.history.losses[:14].tolist()
    assert job.history.losses[14:].tolist() == np.float32(by_hand(conductor, first, 4, job.recipe)[0]).tolist()
    assert conductor.store.open(job.number).parent_name == "first"
    assert (job.epoch, job.progress) == (7, 1)


@pytest.mark.parametrize("steps", [0, 1, PER_EPOCH, PER_EPOCH + 2])
@pytest.mark.parametrize("how", ["close", "kill"])
def test_a_branch_that_was_broken_off_goes_on_exactly(conductor, parent, how, steps):
    recipe = changed(DROPPING, optimizer=SGD(lr=0.2, momentum=0.5), epochs=8)
    expected = fingerprint(branched(conductor, parent, 3, recipe))
    job = conductor.branch(parent.number, 3, "branch", recipe, paused=True)
    take(job, steps)
    root = conductor.store.root
    if how == "kill":
        root = as_if_killed(conductor.store, root.with_name("killed"))
    conductor.close()
    with opened(root) as again:
        once_more = again.resume(job.number, paused=True)
        kept = steps if how == "close" else steps // PER_EPOCH * PER_EPOCH
        assert once_more.history.steps == 12 + kept
        assert once_more.branch == job.branch
        once_more.resume()
        finish(once_more)
        assert fingerprint(once_more) == expected


def test_a_branch_can_go_on_from_the_moment_that_it_is_there(conductor, parent, tmp_path):
    """Its first checkpoint is on the disk before it trains: nothing else could bring it back."""
    job = conductor.branch(parent.number, 3, "branch", ENDLESS.model_copy(update={"model": DROPPING.model}))
    assert conductor.store.epochs_kept(job.number)[0] == 3
    wait_until(lambda: len(job.history.epochs) > 20)
    assert conductor.store.epochs_kept(job.number)[0] == 3


def test_a_branch_outlives_its_parent(conductor, parent):
    recipe = changed(DROPPING, optimizer=SGD(lr=0.2))
    expected = fingerprint(branched(conductor, parent, 3, recipe))
    job = conductor.branch(parent.number, 3, "branch", recipe, paused=True)
    take(job, 2)
    conductor.store.delete(parent.number)
    conductor.store.remove(parent.number)
    conductor.close()
    assert not (conductor.store.root / str(parent.number)).exists()
    with opened(conductor.store.root) as again:
        once_more = again.resume(job.number)
        finish(once_more)
        assert fingerprint(once_more) == expected
        assert once_more.wait_saved(LONG)
        found = again.store.open(job.number)
        assert (found.branch.parent, found.parent_name) == (parent.number, "")
        assert once_more.number not in (parent.number,)


def test_a_branch_that_was_never_under_way_is_as_it_began(conductor, parent):
    conductor.set_at_once(1)
    conductor.submit("first", ENDLESS)
    job = conductor.branch(parent.number, 3, "branch", DROPPING)
    assert job.status == "queued"
    conductor.close()
    with opened(conductor.store.root) as again:
        once_more = again.resume(job.number)
        finish(once_more)
        found = fingerprint(once_more)
    assert found == alone(DROPPING)  # a branch with the same recipe is its parent again


@pytest.mark.parametrize("pace", [None, 20.0])
def test_a_branch_keeps_its_own_pace_when_it_goes_on(conductor, tmp_path, pace):
    first = conductor.submit("parent", DROPPING, pace=1000.0)
    finish(first)
    assert first.wait_saved(LONG)
    job = conductor.branch(first.number, 3, "branch", changed(DROPPING, epochs=9), pace=pace, paused=True)
    take(job, 1)
    with opened(as_if_killed(conductor.store, tmp_path / "killed")) as elsewhere:
        assert elsewhere.resume(job.number, paused=True).pace == pace


# Rules


@pytest.mark.parametrize("rules", [{"patience": 1}, {"accuracy": 0.01}])
def test_rules_that_its_parent_has_met_let_a_branch_take_an_epoch(conductor, parent, rules):
    recipe = changed(DROPPING, optimizer=SGD(lr=1e-9), stop=Stopping(**rules), epochs=20)
    job = branched(conductor, parent, 4, recipe)
    assert len(job.history.epochs) == 5
    assert job.reason


# What is measured by something else


SQUARED = changed(DROPPING, loss=MeanSquaredError(), optimizer=Adam(lr=0.02))
MEASURED_ELSE = {
    "another loss": {"loss": CrossEntropy()},
    "the same loss with another setting": {"loss": Huber(delta=0.5)},
    "other data": {"data": Moons(samples=200, noise=0.4)},
}


@pytest.mark.parametrize("fields", MEASURED_ELSE.values(), ids=MEASURED_ELSE)
def test_a_branch_that_is_measured_by_something_else_is_not_measured_against_its_parent(conductor, fields):
    first = changed(SQUARED, loss=Huber() if "delta" in str(fields) else SQUARED.loss)
    parent = conductor.submit("parent", first)
    finish(parent)
    assert parent.wait_saved(LONG)
    recipe = changed(first, epochs=12, stop=Stopping(patience=4), **fields)
    job = branched(conductor, parent, 3, recipe)
    own = job.history.epochs[3:]
    assert job.history.best == max(own, key=lambda row: (row.val_accuracy, -row.val_loss))
    losses = [row.val_loss for row in own]
    ends = next((n for n in range(4, len(losses)) if min(losses[n - 4 : n + 1]) == losses[n - 4] == min(losses)), None)
    assert len(own) == (ends + 1 if ends else 9)  # patience looks at its own losses alone
    (change,) = job.history.changes
    assert (change.step, change.setting.partition(".")[0]) == (3 * PER_EPOCH, next(iter(fields)))
    again = stored(conductor.store.root, job.number)
    assert (again.history.best, again.recipe) == (job.history.best, recipe)
    assert (again.history.changes, again.history.lowest_epoch) == (job.history.changes, 4 + int(np.argmin(losses)))


def test_a_branch_that_is_measured_alike_goes_on_comparing(conductor, parent):
    job = branched(conductor, parent, 3, changed(DROPPING, optimizer=SGD(lr=1e-6)))
    assert job.history.changes == []
    assert job.history.best == max(job.history.epochs, key=lambda row: (row.val_accuracy, -row.val_loss))


def test_a_branch_from_the_first_moment_of_one_that_is_measured_by_something_else(conductor, parent):
    """What its parent had taken over is as incomparable to it as to its parent."""
    squared = branched(conductor, parent, 2, changed(DROPPING, loss=MeanSquaredError()), "squared")
    job = branched(conductor, squared, 2, changed(DROPPING, loss=Huber(delta=2.0)), "of squared")
    assert job.history.best.epoch > 2
    assert [(change.step, change.value) for change in job.history.changes] == [(2 * PER_EPOCH, "huber")]
    assert job.recipe.loss == Huber(delta=2.0)
    same = branched(conductor, squared, 2, changed(DROPPING, loss=MeanSquaredError()), "squared again")
    assert same.history.best.epoch > 2


def test_a_branch_that_is_measured_by_something_else_goes_on_so_after_an_interruption(conductor, parent, tmp_path):
    job = conductor.branch(parent.number, 3, "squared", changed(DROPPING, loss=MeanSquaredError()), paused=True)
    take(job, PER_EPOCH + 1)
    with opened(as_if_killed(conductor.store, tmp_path / "killed")) as elsewhere:
        again = elsewhere.resume(job.number)
        finish(again)
        assert again.history.best.epoch > 3
        assert again.recipe.loss == MeanSquaredError()
