"""A run's numbers are the same bit for bit, alone or beside others, however it is paused, raced and saved."""

import pytest

from dlcore.catalogue.architectures import CNN
from dlcore.catalogue.augmentation import Augmentation
from dlcore.catalogue.optimizers import SGD
from dlcore.engine.driver import Driver
from dlcore.recipe import Recipe
from tests.engine.conducting import DROPOUT
from tests.running import DROPPING, ENDLESS, MOONS, PER_EPOCH, alone, changed, fingerprint, finish, opened, settle
from tests.waiting import wait_until

AUGMENTED = Recipe(
    model=CNN(channels=(4,), dense=8), augmentation=Augmentation(shift=0.1, rotate=20), batch_size=32, epochs=3
)


@pytest.mark.parametrize("recipe", [DROPOUT, AUGMENTED], ids=["dropout", "augmentation"])
@pytest.mark.usefixtures("small_digits")
def test_numbers_are_the_same_repeated_and_beside_three_others(conductor, recipe):
    expected = alone(recipe)
    assert alone(recipe) == expected
    others = [
        conductor.submit("dropout", changed(DROPOUT, seed=5, epochs=100000)),
        conductor.submit("augmented", changed(AUGMENTED, seed=6, epochs=100000)),
        conductor.submit("plain", ENDLESS),
    ]
    for other in others:
        wait_until(lambda other=other: other.history.steps > 3)
    job = conductor.submit("beside", recipe)
    finish(job)
    assert all(other.status == "training" for other in others)
    assert fingerprint(job) == expected


def test_another_seed_gives_other_numbers():
    assert alone(MOONS)[0] != alone(changed(MOONS, seed=1))[0]


def test_numbers_are_the_same_paused_stepped_and_resumed_at_odd_places(device, conductor, monkeypatch):
    recipe = changed(DROPOUT, device=device)
    expected = alone(recipe)  # first: a process has one set of generators, which two conductors cannot share
    other = conductor.submit("other", changed(recipe, seed=9, epochs=100000))
    wait_until(lambda: other.history.steps)
    job = conductor.submit("moons", recipe, paused=True)
    places, advance = (3, 4, 13, 18, 37, 99), Driver.advance

    def watched(driver):  # on the training thread: nobody else would be there in time
        advance(driver)
        if driver.job is job and job.history.steps in places:
            job.pause()

    monkeypatch.setattr(Driver, "advance", watched)
    for place, burst in zip(places, (1, 0, 2, PER_EPOCH, 5, 3), strict=True):
        before = job.history.steps
        for _ in range(burst):
            job.step()
        wait_until(lambda before=before, burst=burst: job.history.steps == before + burst)
        job.resume()
        wait_until(lambda: job.status == "paused")
        settle(job)
        assert job.history.steps == place
    job.resume()
    finish(job)
    assert fingerprint(job) == expected


def test_numbers_are_the_same_in_a_race(device, conductor):
    first = changed(DROPPING, device=device)
    recipes = [first, changed(first, optimizer=SGD()), changed(first, batch_size=10)]
    racing = conductor.race([(str(number), recipe) for number, recipe in enumerate(recipes)])
    finish(*racing)
    assert [fingerprint(job) for job in racing] == [alone(recipe) for recipe in recipes]


def test_saving_changes_no_number(tmp_path):
    with opened(tmp_path) as conductor:
        job = conductor.submit("moons", DROPOUT)
        finish(job)
        assert fingerprint(job) == alone(DROPOUT)
