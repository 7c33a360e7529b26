import itertools

import pytest
import torch

from dlcore.runs.film import MOST, ROOM, Film, LookError
from dlcore.runs.reels import Frame


def frame(epoch, size=4):
    return Frame(epoch, epoch * 10, {"weight": torch.full((size,), float(epoch))}, {"weight": 0.5})


def filmed(epochs, film, last=None):
    """The film of a run after so many epochs, and how many frames it asked for."""
    asked = 0
    for epoch in range(film.start, epochs + 1):
        if film.wants(epoch, last=epoch == last):
            film, asked = film.plus(frame(epoch)), asked + 1
    return film, asked


@pytest.mark.parametrize("epochs", [0, 1, 5, 199, 200, 201, 399, 400, 1000, 5000])
def test_frames_are_even_and_as_many_as_have_room(epochs):
    film, _ = filmed(epochs, Film())
    gaps = {after - before for before, after in itertools.pairwise(film.epochs)}
    assert len(gaps) <= 1
    assert film.epochs[0] == 0
    assert epochs - film.epochs[-1] < max(gaps, default=1)
    assert min(epochs + 1, MOST // 2) <= len(film) <= MOST
    assert [kept.epoch for kept in film] == list(film.epochs)


@pytest.mark.parametrize(("most", "start"), list(itertools.product([2, 3, 7, 200], [0, 5])))
def test_the_last_epoch_is_kept_too_within_the_bound(most, start):
    for epochs in range(start, 60):
        film, _ = filmed(epochs, Film(most=most, start=start), last=epochs)
        assert film.epochs[0] == start
        assert film.epochs[-1] == epochs
        assert len(film) <= most


def test_a_long_run_asks_for_few_frames():
    film, asked = filmed(100_000, Film())
    assert asked < MOST * 6
    assert len(film) <= MOST


def test_what_was_the_last_epoch_goes_when_the_run_goes_on():
    film, _ = filmed(13, Film(most=10), last=13)
    assert film.epochs == (0, 2, 4, 6, 8, 10, 12, 13)
    assert film.plus(frame(14)).epochs == (0, 2, 4, 6, 8, 10, 12, 14)


def test_which_frames_are_kept_does_not_hang_on_interruptions():
    whole, _ = filmed(50, Film(most=10))
    first, _ = filmed(23, Film(most=10))
    later = Film(most=10, filed=first.epochs)  # as a run that goes on has it
    for epoch in range(24, 51):
        later = later.plus(frame(epoch)) if later.wants(epoch) else later
    assert later.epochs == whole.epochs


@pytest.mark.parametrize(("most", "epochs"), [(0, ()), (1, (3,)), (2, (3, 9))])
def test_the_smallest_films_have_the_first_frame_and_the_last(most, epochs):
    assert filmed(9, Film(most=most, start=3), last=9)[0].epochs == epochs


def test_frames_of_large_networks_share_64_megabytes():
    assert Film().bounded(1000).most == MOST
    assert Film().bounded(ROOM // 10).most == 10
    assert filmed(9, Film().bounded(ROOM // 2 + 1), last=9)[0].epochs == (0,)
    assert filmed(9, Film().bounded(ROOM + 1), last=9)[0].epochs == ()
    film, _ = filmed(40, Film().bounded(ROOM // 10))
    assert len(film) <= 10


def test_a_film_never_changes():
    before, _ = filmed(5, Film())
    before.plus(frame(6))
    assert before.epochs == (0, 1, 2, 3, 4, 5)


def test_an_epoch_that_is_not_kept_is_answered_with_those_that_are():
    film, _ = filmed(13, Film(most=10))
    assert film.at(6).weights["weight"][0] == 6
    with pytest.raises(LookError, match=r"Epoch 11 is not kept\. 7 epochs are kept, from 0 to 12, the nearest is 10\."):
        film.at(11)
    with pytest.raises(LookError, match=r"Epoch 3 is not kept\. No frames are kept of this run; it can be"):
        Film().at(3)
    with pytest.raises(LookError, match="One epoch is kept, from 7 to 7, the nearest is 7"):
        Film().plus(frame(7)).at(1)


def test_a_film_is_a_sequence_of_frames():
    film, _ = filmed(4, Film())
    assert (len(film), film[0].epoch, film[-1].epoch, [one.epoch for one in film[1:3]]) == (5, 0, 4, [1, 2])
