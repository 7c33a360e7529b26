"""A run's folder tells what the run is; what it tells may be anyone's."""

import json
import math
import os

import pytest

from dlcore.catalogue import devices
from dlcore.history import Change, History
from dlcore.runs.manifest import LARGEST, ManifestError, read, write
from dlcore.runs.records import Branch, Stored
from tests.running import MOONS

CHANGES = [
    Change(3, "loss.kind", "cross-entropy"),
    Change(3, "pace", None),
    Change(3, "stop.not_a_number", False),
    Change(7, "epochs", 9),
    Change(9, "pace", 2.5),
]
RUN = Stored(5, 'a 😀 "name"', MOONS, History(changes=CHANGES), branch=Branch(1, 2, 3), created=1234567890.123)


@pytest.fixture
def told(tmp_path):
    """What a folder tells, as JSON."""
    write(RUN, tmp_path, RUN.name, "a note\n", ["a", "😀"])
    return json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))


def test_what_is_written_is_read_again(tmp_path, told):
    found = read(tmp_path)
    for name in ("name", "first_recipe", "branch", "created"):
        assert getattr(found, name) == getattr(RUN, name), name
    assert (found.note, found.tags) == ("a note\n", ("a", "😀"))
    assert found.history.changes == CHANGES
    assert found.history.steps == 0
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_it_is_written_only_when_something_is_new(tmp_path, told):
    file = tmp_path / "run.json"
    before = file.stat()
    write(RUN, tmp_path, RUN.name, "a note\n", ["a", "😀"])
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    write(RUN, tmp_path, "another", "", ())
    found = read(tmp_path)
    assert (found.name, found.note, found.tags) == ("another", "", ())


def test_what_was_written_before_there_were_notes_and_tags_in_it_is_read(tmp_path, told):
    del told["note"], told["tags"]
    (tmp_path / "run.json").write_text(json.dumps(told))
    found = read(tmp_path)
    assert (found.name, found.note, found.tags) == (RUN.name, "", ())


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(ManifestError, match=r"it has no run\.json"):
        read(tmp_path)
    (tmp_path / "run.json").mkdir()
    with pytest.raises(ManifestError, match=r"its run\.json cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b"[" * 10000,
        b'{"format": 1}',
        b'{"name": "\\ud800"}',
        b" " * (LARGEST + 1),
    ],
)
def test_what_is_none_is_refused(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ManifestError, match=r"^its run\.json (cannot be used \(.*\)|is too large to be one)$"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("format", [None, "1", 0, True, 1.5]),
        ("name", [None, 5, "", " ", "x" * 101, "a\nb", "a\x00"]),
        ("note", [None, 5, "x" * 10_001, "a\x00"]),
        ("tags", [None, "a", [5], ["x" * 41], ["a\nb"], [str(number) for number in range(21)]]),
        ("created", [None, "now", -1.0, 1e300]),
        ("branch", [5, [], [1, 2], [1, 2, -3], [1, 2, "3"], [10**40, 1, 1], {"parent": 1, "epoch": 2, "step": 3}]),
        ("changes", [None, [1], [[1, "epochs"]], [[-1, "epochs", 3]], [[1, "data.kind", 3]], [[1, "epochs", [3]]]]),
        (
            "changes",
            [[[1, "epochs", 0]], [[1, "model.dropout", 5.0]], [[1, "optimizer.charm", 1.0]], [[1, "epochs", None]]],
        ),
        ("recipe", [None, [], "moons", {"epochs": 0}, {"model": {"kind": "transformer"}}, {"charm": 1}]),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path, told, name, values):
    for value in values:
        (tmp_path / "run.json").write_text(json.dumps(told | {name: value}))
        with pytest.raises(ManifestError, match=r"^its run\.json cannot be used \(") as error:
            read(tmp_path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "recipe",
    [
        {"model": {"kind": "lenet"}},
        {"model": {"kind": "recurrent"}},
        {"data": {"kind": "mnist-5k"}, "model": {"kind": "cnn", "channels": [1] * 6}},
        {"data": {"kind": "line"}},
        {"optimizer": {"kind": "sgd", "momentum": 0.0, "nesterov": True}},
    ],
)
def test_a_recipe_that_runs_nowhere_is_refused(tmp_path, told, recipe):
    (tmp_path / "run.json").write_text(json.dumps(told | {"changes": [], "recipe": told["recipe"] | recipe}))
    with pytest.raises(ManifestError, match=r"^its run\.json cannot be used \((model|loss|optimizer)\b.*\)$"):
        read(tmp_path)


def test_a_recipe_that_this_machine_alone_cannot_run_is_read(tmp_path, told, monkeypatch):
    monkeypatch.setattr(devices, "memory", lambda device: 1000)
    recipe = told["recipe"] | {"device": "mps"}
    (tmp_path / "run.json").write_text(json.dumps(told | {"recipe": recipe}))
    assert read(tmp_path).recipe.device == "mps"
    assert read(tmp_path).recipe.problems()


@pytest.mark.parametrize(
    "change",
    [
        *([5, "pace", pace] for pace in ("fast", True, False, 0, -1.0, 1e-300, 1e-12, 1e7, 10**400)),
        *([5, "lost", value] for value in (0, False, "all")),
        *([5, "data.kind", kind] for kind in ("mnist-5k", "circles", "digits", None, True, 5)),
        *([5, "loss.kind", kind] for kind in ("mse", "hinge", None)),
        [1, "data.kind", "digits"],
        [5, "stop.not_a_number", 5],
    ],
)
def test_a_change_that_the_run_cannot_have_is_refused(tmp_path, told, change):
    (tmp_path / "run.json").write_text(json.dumps(told | {"changes": [change]}))
    with pytest.raises(ManifestError, match=rf"^its run\.json cannot be used \({change[1]}.* is .*\)$"):
        read(tmp_path)


def test_a_setting_that_changes_twice_at_once_is_refused(tmp_path, told):
    changes = [[5, "epochs", 4], [6, "epochs", 5], [5, "pace", None], [5, "epochs", 7]]
    (tmp_path / "run.json").write_text(json.dumps(told | {"changes": changes}))
    with pytest.raises(ManifestError, match=r"cannot be used \(epochs changes twice after step 5\)$"):
        read(tmp_path)


def test_a_change_to_what_runs_nowhere_is_refused(tmp_path, told):
    recipe = told["recipe"] | {"optimizer": {"kind": "sgd", "nesterov": True}}
    (tmp_path / "run.json").write_text(
        json.dumps(told | {"recipe": recipe, "changes": [[5, "optimizer.momentum", 0.0]]})
    )
    with pytest.raises(ManifestError, match=r"optimizer\.nesterov is true, which needs momentum"):
        read(tmp_path)


def test_changes_that_a_run_can_have_are_read(tmp_path, told):
    """What its parent was measured by before it began may be anything."""
    made = [[1, "data.kind", "circles"], [2, "loss.kind", "mse"], [3, "data.kind", "moons"]]
    made += [[step, "pace", pace] for step, pace in enumerate((None, 1e-6, 1, 2.5, 1e6), 4)]
    made += [[9, "lost", None]]
    (tmp_path / "run.json").write_text(json.dumps(told | {"changes": made}))
    assert read(tmp_path).history.changes == [Change(*one) for one in made]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such pipes on Windows")
def test_what_might_never_end_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(ManifestError, match=r"^its run\.json cannot be read \(it is no file\)$"):
        read(tmp_path)
    (tmp_path / "run.json").unlink()
    (tmp_path / "run.json").symlink_to("/dev/zero")
    with pytest.raises(ManifestError, match="it is no file"):
        read(tmp_path)


def test_numbers_that_are_none_are_refused(tmp_path, told):
    for value in (math.nan, math.inf):
        (tmp_path / "run.json").write_text(json.dumps(told | {"created": value}))
        with pytest.raises(ManifestError):
            read(tmp_path)


def test_a_newer_format_is_told(tmp_path, told):
    (tmp_path / "run.json").write_text(json.dumps(told | {"format": 2, "more": 5}))
    with pytest.raises(ManifestError, match="has format 2, and this dlcore reads up to 1: update dlcore"):
        read(tmp_path)


def test_a_parents_change_of_a_setting_that_the_branch_lacks_is_read(tmp_path):
    branch = Stored(5, "adam", MOONS, History(changes=[Change(2, "optimizer.momentum", 0.5)]), branch=Branch(1, 2, 3))
    write(branch, tmp_path, "adam", "", ())
    assert read(tmp_path).history.changes == branch.history.changes
