import re

import pytest

from dlcore.catalogue.datasets import Moons
from dlcore.catalogue.splits import DataError
from tests.cli.calling import MOONS, refused
from tests.runs.storing import entered, history, record

LAYER = {"name", "output", "parameters", "weight_norm", "gradient_norm", "update_ratio", "dead", "saturated"}


def test_one_object_tells_of_layers_classes_and_mistakes(tell, runs):
    *_, end = tell("train", *MOONS, "--set", "epochs=3")
    (found,) = tell("look", "1")
    assert list(found) == ["run", "epoch", "layers", "classes", "ece", "worst", "confusion"]
    assert (found["run"], found["epoch"]) == ("1", 3)
    assert all(layer.keys() == LAYER for layer in found["layers"])
    assert [layer["name"] for layer in found["layers"]] == ["dense 1", "dense 2", "output"]
    assert [layer["output"] for layer in found["layers"]] == [[16], [16], [2]]
    assert all(layer["update_ratio"] > 0 for layer in found["layers"])
    right, every = sum(row[i] for i, row in enumerate(found["confusion"])), sum(map(sum, found["confusion"]))
    assert right / every == pytest.approx(end["val_accuracy"])
    for number, (name, share) in enumerate(found["classes"].items()):
        row = found["confusion"][number]
        assert share == pytest.approx(row[number] / sum(row)), name
    assert 0 <= found["ece"] <= 1
    assert len(found["worst"]) == min(20, every - right)
    for one in found["worst"]:
        assert one.keys() == {"index", "target", "predicted", "loss"}
        assert one["target"] != one["predicted"]
        assert {one["target"], one["predicted"]} <= found["classes"].keys()


def test_an_epoch_is_looked_at_that_has_a_checkpoint(tell, run, runs):
    tell("train", *MOONS, "--set", "epochs=3")
    (first,), (last,) = tell("look", "1", "--at", "1"), tell("look", "1")
    assert (first["epoch"], last["epoch"]) == (1, 3)
    assert first["layers"] != last["layers"]
    sentence = refused(run, "look", "1", "--at", "9", "--json")
    assert sentence.startswith("Run 1 cannot be looked into: Epoch 9 is not kept.")
    assert sentence.endswith("from 0 to 3, the nearest is 3.")


def test_an_epoch_is_looked_at_that_has_a_frame_alone(tell, runs):
    tell("train", *MOONS, "--set", "epochs=3")
    (before,), (first,) = tell("look", "1", "--at", "0"), tell("look", "1", "--at", "1")
    for file in (runs.root / "1").glob("epoch-1.pt"):
        file.unlink()
    (framed,) = tell("look", "1", "--at", "1")
    assert before["epoch"] == 0
    assert [layer["update_ratio"] for layer in before["layers"]] == [None] * 3
    for name in ("classes", "ece", "worst", "confusion"):
        assert framed[name] == first[name]
    # Of a checkpoint the next step tells what a step moves, of a frame the one that led to it.
    for one, other in zip(framed["layers"], first["layers"], strict=True):
        assert one["update_ratio"] > 0
        assert one | {"update_ratio": 0} == other | {"update_ratio": 0}


def test_looking_again_finds_the_same(tell, runs):
    tell("train", *MOONS, "--set", "epochs=2")
    assert tell("look", "1") == tell("look", "1")


def test_a_person_gets_tables(run, tell, runs):
    tell("train", *MOONS, "--set", "epochs=2", "--name", "Ünïcödé")
    status, out, err = run("look", "1")
    assert (status, err) == (0, "")
    assert out.startswith("run 1: Ünïcödé\nafter epoch 2\n")
    for words in (r"dense 1 +16 +48 ", r"output +2 +34 ", r"expected calibration error \d", r"it says"):
        assert re.search(words, out), words


def test_regression_has_errors_and_no_classes(run, tell, runs):
    tell("train", "linear-regression", "--set", "epochs=2")
    (found,) = tell("look", "1")
    assert (found["classes"], found["ece"], found["confusion"]) == ({}, None, [])
    losses = [one["loss"] for one in found["worst"]]
    assert losses == sorted(losses, reverse=True)
    for one in found["worst"]:
        assert one["loss"] == pytest.approx((one["target"] - one["predicted"]) ** 2, rel=1e-4)
    assert "calibration" not in run("look", "1")[1]


def test_a_run_that_cannot_be_looked_into_is_a_sentence(run, tell, runs, monkeypatch):
    assert "There is no run 7" in refused(run, "look", "7")
    assert "whole number" in refused(run, "look", "seven")
    entered(runs, record("a", history=history(1), status="finished"))
    assert refused(run, "look", "1", "--json") == "Run 1 has no checkpoint to look into."
    tell("train", *MOONS, "--set", "epochs=1", "--set", "data.noise=0.17")

    def fail(self, report):
        raise DataError("They are not there.")

    monkeypatch.setattr("dlcore.cli.look.load", lambda data: Moons.load(data, None))
    monkeypatch.setattr(Moons, "load", fail)
    assert refused(run, "look", "2") == "Run 2 cannot be looked into: They are not there."
