"""The loss around a run, on the command line."""

import math

import pytest

from tests.cli.calling import MOONS, refused
from tests.runs.storing import entered, history, record


@pytest.fixture
def trained(train, runs):
    """A run of the store with five epochs, whose last row is returned."""
    return train(*MOONS, "--set", "epochs=5")[-2]


def test_the_loss_around_a_run_is_one_object(tell, trained):
    (found,) = tell("landscape", "1")
    assert set(found) == {"axes", "loss", "path", "plane", "samples", "variance"}
    assert [len(found["axes"][name]) for name in "xy"] == [31, 31]
    assert [len(row) for row in found["loss"]] == [31] * 31
    assert [point["epoch"] for point in found["path"]] == [0, 1, 2, 3, 4, 5]
    assert set(found["path"][0]) == {"epoch", "x", "y", "loss_in_plane", "loss_true"}
    assert 0.5 < found["variance"] <= 1
    end = found["path"][-1]
    assert end["loss_true"] == pytest.approx(trained["train_loss"], rel=1e-5)
    assert end["loss_in_plane"] == pytest.approx(end["loss_true"], rel=1e-4)


def test_random_directions_follow_their_seed(tell, trained):
    first, again, other = (tell("landscape", "1", "--plane", "random", "--seed", seed)[0] for seed in "007")
    assert first == again != other
    assert first["loss"][15][15] == pytest.approx(trained["train_loss"], rel=1e-5)
    assert first["axes"]["x"][0] == -1


def test_people_get_a_short_table(run, trained):
    status, out, err = run("landscape", "1")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) < 12
    assert "training samples, from" in lines[0]
    assert "% of the variance of the path" in lines[1]
    epoch, *_, in_plane, true = lines[-1].split()
    assert epoch == "5"
    assert math.isclose(float(in_plane), float(true), abs_tol=2e-4)


def test_a_run_without_a_film_is_a_sentence_that_says_what_can_be_had(run, train, runs):
    train(*MOONS, "--set", "epochs=1")
    assert "random directions can be had" in refused(run, "landscape", "1")
    assert run("landscape", "1", "--plane", "random")[0] == 0


def test_a_run_without_a_checkpoint_or_that_is_not_there_is_a_sentence(run, runs):
    entered(runs, record("a", history=history(2), status="finished"))
    assert refused(run, "landscape", "1") == "Run 1 has no checkpoint that can be used."
    assert "There is no run 2" in refused(run, "landscape", "2")
    assert "whole number" in refused(run, "landscape", "x")


def test_runs_that_learned_otherwise_share_one_plane(tell, run, train, trained):
    train(*MOONS, "--set", "epochs=5", "--set", "optimizer=sgd")
    alone, (both,) = tell("landscape", "1")[0], tell("landscape", "1", "--with", "2", "1")
    assert set(both) == set(alone) | {"others"}
    assert [point["epoch"] for point in both["others"]["2"]] == [0, 1, 2, 3, 4, 5]
    assert both["path"][0]["loss_true"] == both["others"]["2"][0]["loss_true"]  # one seed, one beginning
    assert [point["loss_true"] for point in both["path"]] == [point["loss_true"] for point in alone["path"]]
    told = run("landscape", "1", "--with", "2")[1]
    assert [line for line in told.splitlines() if line.startswith("run ")] == ["run 1", "run 2"]


def test_a_run_of_another_network_is_refused_by_name(run, train, trained):
    train(*MOONS, "--set", "epochs=3", "--set", "model.widths=[4]")
    assert "Run 2 has another network" in refused(run, "landscape", "1", "--with", "2")
    assert "There is no run 7" in refused(run, "landscape", "1", "--with", "7")
