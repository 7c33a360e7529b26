"""A run's frames on disk: written with what is measured, thinned, read lazily, and not trusted."""

import contextlib
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from dlcore.catalogue.architectures import skeleton
from dlcore.runs import checkpoints, reels
from dlcore.runs.film import Film, LookError
from dlcore.runs.records import Branch, Stored
from dlcore.runs.reels import Frame
from dlcore.runs.store import Store, StoreError
from tests.running import MOONS
from tests.runs.storing import backed_up, checkpoint, entered, history, record, restore_folder

FORM = {name: value.shape for name, value in skeleton(MOONS.model, MOONS.inputs, MOONS.outputs).state_dict().items()}


def frame(epoch, salt=0.0):
    weights = {name: torch.full(shape, epoch + salt) for name, shape in FORM.items()}
    return Frame(epoch, epoch * 10, weights, dict.fromkeys(FORM, epoch / 4) if epoch else {})


@dataclass(eq=False, kw_only=True)
class Filmed(Stored):
    """A run that trains here, and so has frames at hand."""

    film: ClassVar[Film] = Film()


def under_way(runs, epochs, **known):
    one = Filmed(0, "live", MOONS, history(epochs), status="training", **known)
    one.number = runs.create(one)
    runs.hold(one.number)
    one.film = Film(held=tuple(frame(epoch) for epoch in range(epochs + 1)))
    runs.save(one)
    return one


def files(runs, number):
    return sorted(file.name for file in (runs.root / str(number) / "frames").glob("*"))


def same(one, other):
    weights = all(torch.equal(one.weights[name], other.weights[name]) for name in FORM)
    return weights and (one.epoch, one.step, one.moved) == (other.epoch, other.step, other.moved)


def test_what_is_read_is_what_was_saved(runs):
    one = under_way(runs, 5)
    with contextlib.closing(Store(runs.root)) as other:
        film = other.film(one.number)
        assert film.epochs == (0, 1, 2, 3, 4, 5)
        assert all(map(same, film, one.film))
        assert same(film.at(3), one.film.at(3))
        assert same(film[-1], one.film[-1])
        assert film.read()[1] == []


def test_epochs_are_listed_without_a_file_being_read(runs, monkeypatch):
    one = under_way(runs, 5)
    monkeypatch.setattr(checkpoints, "load", None)
    assert len(runs.film(one.number)) == 6


def test_only_what_is_new_is_written_and_what_the_film_dropped_goes(runs):
    one = under_way(runs, 3)
    assert files(runs, one.number) == ["0-3-1.pt"]
    written = (runs.root / str(one.number) / "frames" / "0-3-1.pt").stat().st_mtime_ns
    one.film = one.film.plus(frame(4))
    one.history = history(4)
    runs.save(one)
    runs.save(one)
    assert files(runs, one.number) == ["0-3-1.pt", "4-4-1.pt"]
    assert (runs.root / str(one.number) / "frames" / "0-3-1.pt").stat().st_mtime_ns == written
    one.film = Film(held=one.film.held[::2])
    runs.save(one)
    assert files(runs, one.number) == ["0-2-2.pt", "4-4-1.pt"]
    assert all(map(same, runs.film(one.number), one.film))


def test_the_network_before_training_is_kept_once_there_is_a_place_to_go_on_from(runs):
    """Until then a run begins anew, and takes no room."""
    one = under_way(runs, 0)
    assert (len(runs.film(one.number)), runs.open(one.number).size) == (0, 0)
    runs.save(one, [checkpoint(0, 3)])
    assert runs.film(one.number).epochs == (0,)


def test_large_frames_have_files_of_their_own(runs, monkeypatch):
    monkeypatch.setattr(reels, "TOGETHER", frame(0).size * 2)
    one = under_way(runs, 4)
    assert files(runs, one.number) == ["0-1-1.pt", "2-3-1.pt", "4-4-1.pt"]
    assert runs.film(one.number).epochs == (0, 1, 2, 3, 4)


def test_frames_count_in_the_size_of_a_run_and_go_with_it(runs):
    one = under_way(runs, 3)
    folder = runs.root / str(one.number)
    assert runs.open(one.number).size == sum(file.stat().st_size for file in (folder / "frames").glob("*.pt")) > 0
    runs.remove(one.number)
    assert not folder.exists()


def test_a_run_that_goes_on_earlier_loses_the_frames_of_later_epochs(runs):
    one = under_way(runs, 5)
    (runs.root / str(one.number) / "frames" / "9-9-1.partial").write_bytes(b"half")
    runs.rewind(one.number, 30, (3, 0))
    assert files(runs, one.number) == ["0-3-1.pt"]
    film = runs.film(one.number)
    assert film.epochs == (0, 1, 2, 3)
    assert same(film.at(3), frame(3))


def test_a_film_that_goes_on_keeps_what_is_on_disk_and_thins_it(runs):
    one = under_way(runs, 5)
    one.film, one.history = Film(filed=(0, 2, 4), held=(frame(6),), shelf=runs.film(one.number).shelf), history(6)
    runs.save(one)
    assert [found.epoch for found in runs.film(one.number)] == [0, 2, 4, 6]
    assert [found.epoch for found in one.film] == [0, 2, 4, 6]
    assert files(runs, one.number) == ["0-6-2.pt"]


def test_a_record_without_frames_leaves_those_on_disk(runs):
    one = under_way(runs, 3)
    runs.save(runs.open(one.number), [checkpoint(3)])
    assert runs.film(one.number).epochs == (0, 1, 2, 3)


def test_frames_of_epochs_that_were_not_measured_are_not_shown(runs):
    one = under_way(runs, 3)
    one.film = one.film.plus(frame(8))
    runs.save(one)
    assert runs.film(one.number).epochs == (0, 1, 2, 3)


def test_the_film_of_a_branch_begins_where_it_left(runs):
    one = under_way(runs, 9, branch=Branch(1, 7, 70))
    assert runs.film(one.number).start == 7


def test_a_run_without_a_folder_has_no_frames(runs):
    assert len(runs.film(entered(runs, record(history=history(2))))) == 0
    with pytest.raises(StoreError, match="There is no run 7"):
        runs.film(7)


def test_frames_are_there_again_when_the_folder_was_replaced(runs, held):
    """Those of this run, whatever the folder that took its place had."""
    filmed = Filmed(held.number, "live", MOONS, held.history, status="training", created=held.created)
    filmed.film = Film(held=tuple(frame(epoch) for epoch in range(4)))
    runs.save(filmed)
    backup = backed_up(runs, filmed, 2)
    reels.keep(backup / str(held.number), [0, 1, 2], [frame(epoch, salt=0.5) for epoch in range(3)])
    restore_folder(runs, backup)
    runs.save(filmed)
    assert all(map(same, runs.film(held.number), filmed.film))


def forged(**values):
    frames = [frame(0), frame(1)]
    weights = {name: torch.stack([one.weights[name] for one in frames]) for name in FORM}
    whole = {"format": 1, "epochs": [0, 1], "steps": [0, 10], "moved": [{}, {}], "weights": weights}
    return whole | values


FORGED = {
    "damaged": (b"x" * 100, "it is damaged"),
    "other epochs": (forged(epochs=[0, 2]), "it holds no frames of dlcore"),
    "a checkpoint": ({"format": 1, "epochs": 1}, "it holds no frames of dlcore"),
    "steps that are none": (forged(steps=[0, "ten"]), "it holds no frames of dlcore"),
    "few steps": (forged(steps=[0]), "it holds no frames of dlcore"),
    "norms that are none": (forged(moved=[{}, {"0": "far"}]), "it holds no frames of dlcore"),
    "norms of what is not there": (forged(moved=[{}, {"odd": 1.0}]), "it holds no frames of dlcore"),
    "no weights": (forged(weights=None), "it holds no frames of dlcore"),
    "a number for weights": (forged(weights={name: torch.zeros(()) for name in FORM}), "it holds no frames of dlcore"),
    "sparse weights": (
        forged(weights={name: torch.zeros(2, *shape).to_sparse() for name, shape in FORM.items()}),
        "it holds no frames of dlcore",
    ),
    "another network": (
        forged(weights={name: torch.zeros(2, 5) for name in FORM}),
        "it holds the weights of another network than this mlp",
    ),
    "a newer format": (forged(format=99), "it has format 99"),
}


@pytest.mark.parametrize(("content", "told"), FORGED.values(), ids=FORGED)
def test_what_is_damaged_or_forged_is_passed_over_with_a_sentence(runs, content, told):
    one = under_way(runs, 1)
    one.film, one.history = Film(held=(*one.film.held, frame(2))), history(2)
    runs.save(one)
    file = runs.root / str(one.number) / "frames" / "0-1-1.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    film = runs.film(one.number)
    frames, passed = film.read()
    assert [found.epoch for found in frames] == [found.epoch for found in film] == [2]
    assert len(passed) == 1
    assert passed[0].startswith(f"The frames 0-1-1.pt of run {one.number} were passed over: {told}")
    with pytest.raises(LookError, match=f"The frame of epoch 1 cannot be used: {told}"):
        film.at(1)


def test_what_would_be_run_is_not_read(runs):
    one = under_way(runs, 1)
    torch.save(forged(moved=[{}, {"0": print}]), runs.root / str(one.number) / "frames" / "0-1-1.pt")
    with pytest.raises(LookError, match="it is damaged"):
        runs.film(one.number).at(1)


def test_names_that_are_none_of_ours_are_left_alone(runs):
    one = under_way(runs, 1)
    folder = runs.root / str(one.number) / "frames"
    for name in ("0-99999999-1.pt", "3-2-1.pt", "0-3-2.pt", "1-1-0.pt", "notes.txt", "-1-1-1.pt"):
        (folder / name).write_bytes(b"mine")
    (folder / "4-4-1.pt").mkdir()
    assert runs.film(one.number).epochs == (0, 1)
    runs.rewind(one.number, 0, (0, 0))
    assert (folder / "notes.txt").exists()
    assert runs.film(one.number).epochs == (0,)


def test_a_reel_that_is_gone_meanwhile_is_told(runs):
    one = under_way(runs, 1)
    film = runs.film(one.number)
    (runs.root / str(one.number) / "frames" / "0-1-1.pt").unlink()
    with pytest.raises(LookError, match="it is not there any more"):
        film.at(1)
