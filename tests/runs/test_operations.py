"""Operations as settings: what they name, what the run's folder and commands from elsewhere make of them."""

import json

import pytest

from dlcore.history import Change, History
from dlcore.runs import commands, manifest
from dlcore.runs.operations import Operation, frozen, is_operation, parts, read
from dlcore.settings import SettingsError
from tests.running import MOONS
from tests.runs.storing import record

FREEZE = Change(4, "surgery.freeze.dense", True)


@pytest.mark.parametrize(
    ("setting", "operation"),
    [
        ("surgery.silence.dense.3", Operation("silence", "dense", 3)),
        ("surgery.freeze.conv-1", Operation("freeze", "conv-1")),
        ("surgery.noise.output", Operation("noise", "output")),
    ],
)
def test_a_setting_names_an_operation_both_ways(setting, operation):
    assert read(setting) == operation
    assert operation.setting == setting
    assert is_operation(setting)


@pytest.mark.parametrize(
    "setting",
    ["optimizer.lr", "surgery.", "surgery.silence.dense", "surgery.silence.dense.-1", "surgery.silence.dense.²",
     "surgery.silence.dense.01", "surgery.silence..1", "surgery.freeze.", "surgery.freeze.a.b", "surgery.heal.dense",
     "surgery.silence.dense.9999999999"],
)  # fmt: skip
def test_other_settings_name_none(setting):
    assert read(setting) is None


def test_words_say_what_was_done():
    said = [("surgery.silence.conv-2.3", True), ("surgery.freeze.conv-1", True), ("surgery.freeze.dense", False)]
    assert [read(setting).text(value) for setting, value in said] == [
        "unit 3 of conv 2 silenced", "conv 1 frozen", "dense learns again",
    ]  # fmt: skip
    assert read("surgery.noise.dense").text(0.1) == "noise of 0.1 in dense"


def test_the_last_word_on_a_layer_says_whether_it_is_frozen():
    made = [FREEZE, Change(5, "surgery.freeze.output", True), Change(6, "surgery.freeze.dense", False)]
    assert frozen(made) == ["output"]
    assert frozen([*made, Change(9, "surgery.noise.dense", 0.1), Change(9, "optimizer.lr", 0.1)]) == ["output"]


def test_parts_tell_how_many_units_a_layer_has():
    assert {name: part.units for name, part in parts(MOONS).items()} == {"dense": 8, "output": 2}


def test_the_runs_folder_tells_of_them(tmp_path):
    run = record("moons", history=History(changes=[FREEZE, Change(4, "surgery.noise.dense", 0.5)]))
    manifest.write(run, tmp_path, "moons", "", ())
    assert manifest.read(tmp_path).history.changes == run.history.changes


@pytest.mark.parametrize(
    ("setting", "value"),
    [("surgery.freeze.conv", True), ("surgery.silence.dense.9", True), ("surgery.noise.dense", -1),
     ("surgery.heal.dense", True), ("surgery.freeze.dense", "yes")],
)  # fmt: skip
def test_a_folder_that_tells_of_impossible_ones_cannot_be_used(tmp_path, setting, value):
    run = record("moons", history=History(changes=[FREEZE]))
    manifest.write(run, tmp_path, "moons", "", ())
    file = tmp_path / manifest.NAME
    about = json.loads(file.read_text())
    about["changes"] = [[4, setting, value]]
    file.write_text(json.dumps(about))
    with pytest.raises(manifest.ManifestError):
        manifest.read(tmp_path)


def test_another_process_can_ask_for_them():
    asked = {"surgery.silence.dense.3": True, "optimizer.lr": 0.1}
    assert json.loads(commands.checked("steer", asked)) == asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"surgery.silence.dense.3": False}, "it takes true"), ({"surgery.heal.dense": True}, "is no operation"),
     ({"surgery.noise.dense": "loud"}, "it takes a number above 0")],
)  # fmt: skip
def test_what_no_run_could_do_is_not_even_asked(asked, words):
    with pytest.raises(SettingsError, match=words):
        commands.checked("steer", asked)
