"""Networks that do not train here, asked as they were left or as they were after an epoch."""

import contextlib

import pytest
import torch

from dlcore.engine.training import score
from dlcore.inside.errors import LookError
from dlcore.runs.film import Film
from dlcore.runs.store import Store, StoreError
from pages.parts.state import looking, process
from pages.parts.views.subject import Subject
from tests.pages.kept_runs import entered, kept
from tests.running import DROPPING, ENDLESS, LONG, MOONS, PER_EPOCH, changed, take
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def weights(run):
    return [value.detach().numpy().tobytes() for value in run.model.state_dict().values()]


def heard(run, epoch, function=weights, gradients=False):
    return looking.ask_stored(run, epoch, function, gradients).result(LONG)


def of(frame):
    return [value.numpy().tobytes() for value in frame.weights.values()]


@pytest.fixture
def stored(elsewhere):
    """A run that another process trained, with its film."""
    job = kept(elsewhere.submit("moons", DROPPING))
    return process.record(job.number), job


def test_a_stored_run_answers_as_it_was_after_an_epoch(stored):
    run, job = stored
    assert looking.film_of(run).epochs == tuple(range(DROPPING.epochs + 1))
    for epoch in (0, 2, DROPPING.epochs):
        assert heard(run, epoch) == of(job.film.at(epoch))
    assert heard(run, None) == heard(run, DROPPING.epochs)


@pytest.mark.parametrize("epoch", [2, None])
def test_it_answers_on_its_data_with_dropout_off(stored, epoch):
    run, _ = stored
    row = run.history.epochs[(epoch or DROPPING.epochs) - 1]
    scores = lambda network: (network.model.training, score(network, network.data.validation).loss)  # noqa: E731
    assert heard(run, epoch, scores) == (False, pytest.approx(row.val_loss))


def test_it_can_derive_and_what_is_done_to_it_leaves_the_film_alone(stored):
    run, job = stored

    def spoil(network):
        network.recipe.loss.of(network.model(network.data.train.inputs), network.data.train.targets).backward()
        steepest = max(float(parameter.grad.abs().max()) for parameter in network.model.parameters())
        with torch.no_grad():
            for parameter in network.model.parameters():
                parameter.zero_()
        return steepest

    before = of(job.film.at(2))
    assert heard(run, 2, spoil, gradients=True) > 0
    assert heard(run, 2) == before


def test_a_finished_job_answers_as_it_was_after_an_epoch(own_process):
    job = kept(process.conductor().submit("moons", DROPPING))
    assert looking.film_of(job.now()) is job.film
    before = of(job.film.at(1))
    spoil = lambda network: [value.zero_() for value in network.model.state_dict().values()] and None  # noqa: E731
    heard(job.now(), 1, spoil)
    assert heard(job.now(), 1) == before == of(job.film.at(1))


def test_a_job_under_way_answers_as_it_was_after_an_epoch(own_process):
    job = process.conductor().submit("moons", ENDLESS, paused=True)
    take(job, 2 * PER_EPOCH + 1)
    assert looking.film_of(job).epochs == (0, 1, 2)
    assert heard(job, 2) == of(job.film.at(2)) != job.ask(weights).result(LONG)


def test_the_recipe_is_that_of_the_epoch(own_process):
    job = process.conductor().submit("moons", DROPPING, paused=True)
    take(job, PER_EPOCH)
    job.steer({"model.dropout": 0.25})
    take(job, PER_EPOCH)
    dropout = lambda network: network.recipe.model.dropout  # noqa: E731
    assert [heard(job, epoch, dropout) for epoch in (0, 1, 2)] == [0.5, 0.25, 0.25]


def test_a_run_that_another_process_trains_shows_its_new_frames(elsewhere, quick_saving):
    job = elsewhere.submit("moons", ENDLESS, paused=True)
    take(job, PER_EPOCH)
    run = process.record(job.number)
    wait_until(lambda: looking.film_of(run).epochs == (0, 1))
    take(job, PER_EPOCH)
    wait_until(lambda: looking.film_of(run).epochs == (0, 1, 2))


def test_an_epoch_that_is_not_kept_is_answered_with_those_that_are(stored, root):
    run, _ = stored
    with pytest.raises(LookError, match=r"Epoch 9 is not kept\. 7 epochs are kept, from 0 to 6, the nearest is 6"):
        heard(run, 9)
    never = process.record(entered(root))
    with pytest.raises(LookError, match="No frames are kept of this run; it can be seen as it is now, or as it was"):
        heard(never, 1)


def test_earlier_epochs_of_a_branch_are_its_parents(stored, elsewhere):
    run, _ = stored
    job = kept(elsewhere.branch(run.number, 5, "branch", changed(DROPPING, epochs=7)))
    with pytest.raises(LookError, match=f"began after epoch 5 of run {run.number}: look at epoch 3 there"):
        heard(process.record(job.number), 3)


def test_without_a_store_a_job_has_its_own_film(own_process, monkeypatch):
    job = process.conductor().submit("moons", MOONS, paused=True)
    take(job, PER_EPOCH)
    monkeypatch.setattr(looking, "store", lambda: None)
    assert looking.film_of(job).epochs == (0, 1)
    assert len(looking.film_of(process.record(job.number))) == 2


def test_the_film_of_a_subject_is_its_runs(stored):
    run, _ = stored
    assert isinstance(Subject(run).film, Film)
    assert len(Subject(run, 2).film) == DROPPING.epochs + 1


def test_a_store_that_can_only_be_read_shows_its_films(stored, root, monkeypatch):
    run, job = stored
    with contextlib.closing(Store(root)) as other:
        monkeypatch.setattr(type(other), "writable", False)
        assert other.film(run.number).at(3).step == job.film.at(3).step
        with pytest.raises(StoreError, match="There is no run 99"):
            other.film(99)
