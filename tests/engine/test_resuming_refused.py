"""What a run cannot go on from is told in a sentence, and harms nothing."""

import pytest
import torch

from dlcore.catalogue.stopping import Stopping
from dlcore.engine.conductor import Conductor
from dlcore.runs.checkpoints import FORMAT
from dlcore.runs.store import StoreError
from dlcore.settings import SettingsError
from tests.catalogue.test_stopping import DIVERGING
from tests.running import (
    DROPPING,
    ENDLESS,
    LONG,
    PER_EPOCH,
    alone,
    changed,
    fingerprint,
    finish,
    measured,
    opened,
    stored,
    take,
)

pytestmark = pytest.mark.usefixtures("quick_saving")


# Checkpoints that cannot be used


def spoilt(kept, how):
    content = kept.file.read_bytes()
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "flipped":
        middle = len(content) // 2
        content = (
            content[:middle] + bytes(255 - byte for byte in content[middle : middle + 50]) + content[middle + 50 :]
        )
    elif how == "empty":
        content = b""
    elif how == "text":
        content = b"These are the notes of a person.\n"
    kept.file.write_bytes(content)
    if how in ("newer", "another network"):
        values = torch.load(kept.file, weights_only=True)
        values |= {"format": FORMAT + 1} if how == "newer" else {"model": {"0.weight": torch.zeros(3, 3)}}
        torch.save(values, kept.file)


WORDS = {"newer": "update dlcore", "another network": "the weights of another network than this mlp"}


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "text", "newer", "another network"])
def test_a_checkpoint_that_cannot_be_used_is_told_and_the_one_before_is_used(tmp_path, how):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 3 * PER_EPOCH + 2)
    with opened(tmp_path) as conductor:
        for kept in conductor.store.checkpoints(job.number)[:2]:
            spoilt(kept, how)
        again = conductor.resume(job.number, paused=True)
        assert (again.history.steps, len(again.history.epochs)) == (2 * PER_EPOCH, 2)
        assert len(again.notices) == 2
        for notice, name in zip(again.notices, ("epoch-3+2.pt", "epoch-3.pt"), strict=True):
            assert notice.startswith(f"The checkpoint {name} of run {job.number} was passed over: it ")
            assert WORDS.get(how, "is damaged") in notice
        again.resume()
        finish(again)
        assert fingerprint(again) == alone(DROPPING)
    assert stored(tmp_path, job.number).history.steps == 6 * PER_EPOCH


def test_without_any_checkpoint_that_can_be_used_nothing_is_lost(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPPING, paused=True)
        take(job, 2 * PER_EPOCH + 2)
    before = stored(tmp_path, job.number)
    with opened(tmp_path) as conductor:
        for kept in conductor.store.checkpoints(job.number):
            spoilt(kept, "empty")
        with pytest.raises(StoreError) as caught:
            conductor.resume(job.number)
        assert str(caught.value).startswith(f"Run {job.number} cannot go on: it has no checkpoint that can be used. ")
        assert all(name in str(caught.value) for name in ("epoch-2+2.pt", "epoch-2.pt", "epoch-1.pt"))
        assert conductor.jobs == []
    after = stored(tmp_path, job.number)
    assert measured(after.history) == measured(before.history)
    assert len(list((tmp_path / str(job.number)).glob("*.pt"))) == 3


def test_a_run_whose_weights_became_no_numbers_goes_on_from_where_they_were_some(tmp_path):
    """It was told not to mind; from weights that are none, nothing can be learned."""
    recipe = changed(DIVERGING, epochs=60, stop=Stopping(not_a_number=False))
    expected = alone(recipe)
    with opened(tmp_path) as conductor:
        take(conductor.submit("wild", recipe, paused=True), 50)
    with opened(tmp_path) as conductor:
        job = conductor.resume(1)
        assert len(job.notices) >= 2
        assert all("was passed over: it holds weights that are no numbers" in text for text in job.notices)
        assert 0 < job.history.steps < 50
        finish(job)
        assert fingerprint(job) == expected


# What cannot go on


def test_a_run_that_cannot_go_on_is_a_sentence(tmp_path, monkeypatch):
    with opened(tmp_path) as conductor:
        with pytest.raises(StoreError, match="There is no run 7"):
            conductor.resume(7)
        assert not (tmp_path / "7").exists()
        job = conductor.submit("moons", ENDLESS, paused=True)
        with pytest.raises(StoreError, match=f"Run {job.number} is under way already"):
            conductor.resume(job.number)
        assert job.active
        job.stop()
        finish(job)
        assert job.wait_saved(LONG)
        conductor.store.delete(job.number)
        with pytest.raises(StoreError, match=f"Run {job.number} is deleted; bring it back first"):
            conductor.resume(job.number)
        conductor.store.bring_back(job.number)
        monkeypatch.setattr("dlcore.catalogue.devices.available", lambda: ())
        with pytest.raises(SettingsError, match="device is cpu, which this machine lacks"):
            conductor.resume(job.number)
        monkeypatch.undo()
        assert conductor.resume(job.number).number == job.number
    with pytest.raises(StoreError, match="Runs are not kept here"):
        Conductor().resume(1)


def test_two_conductors_never_train_the_same_run(tmp_path):
    with opened(tmp_path) as conductor, opened(tmp_path) as other:
        job = conductor.submit("moons", ENDLESS, paused=True)
        assert other.store.open(job.number).active
        with pytest.raises(StoreError, match=f"Run {job.number} is under way already, here or in another process"):
            other.resume(job.number)
