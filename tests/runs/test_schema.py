import contextlib
import sqlite3
from pathlib import Path

import pytest

from dlcore.history import Change
from dlcore.runs import database, folder
from dlcore.runs.records import Branch, Failure
from dlcore.runs.schema import SCHEMA
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import content, entered, history, record, refused


def test_an_older_database_is_brought_up_to_date(runs, monkeypatch):
    number = entered(runs, record(history=history(2), status="finished"))
    runs.describe(number, note="an old one")
    before = runs.open(number)
    runs.close()
    monkeypatch.setattr(database, "SCHEMA", (*SCHEMA, "ALTER TABLE runs ADD COLUMN stars INTEGER NOT NULL DEFAULT 3;"))
    with contextlib.closing(Store(runs.root)) as newer:
        assert newer.database._connection.execute("SELECT stars FROM runs").fetchone()[0] == 3
        assert content(newer.open(number).history) == content(before.history)
        assert (newer.open(number).note, newer.problem, newer.writable) == ("an old one", "", True)
        assert newer.create(record()) == number + 1
        assert (
            newer.database._connection.execute("SELECT count(*) FROM sqlite_sequence WHERE name = 'runs'").fetchone()[0]
            == 1
        )
    with contextlib.closing(Store(runs.root)) as again:
        assert len(again.rows()) == 2


def version_1(root):
    """A list of runs as version 1 wrote it: a race of runs 2 and 3, one of runs 5 and 6, of which 6 is deleted."""
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(root / "dlcore.db")) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(Path(__file__).with_name("version-1.sql").read_text(encoding="utf-8"))


def as_version_1_had_it(runs):
    numbers = [2, 3, 5]
    assert [(row["number"], row["race"]) for row in runs.rows()] == [(5, 5), (4, None), (3, 2), (2, 2), (1, None)]
    assert [runs.open(number).race for number in numbers] == [2, 2, 5]
    assert [(group.number, group.kind, group.name, group.parent) for group in runs.groups()] == [
        (5, "race", "", None),
        (2, "race", "", None),
    ]
    assert runs.group(2).created == runs.open(2).created == 1700000001.5
    assert [runs.members(number) for number in (1, 2, 5)] == [[], [2, 3], [5]]
    assert (runs.race(), runs.race(2), runs.race(3)) == ([5], [2, 3], [])
    first = runs.open(1)
    assert content(first.history) == content(history(2, changes=[Change(3, "optimizer.lr", 0.5)]))
    assert (first.name, first.status, first.elapsed, first.recipe.optimizer.lr) == ("alone", "finished", 2.5, 0.5)
    failed, branch = runs.open(3), runs.open(4)
    assert (failed.name, failed.note, failed.tags) == ('SGD, it\'s "quoted"', "a note", ("try",))
    assert failed.failure == Failure("Broken.", "Traceback")
    assert (branch.branch, branch.parent_name, branch.reason) == (Branch(1, 1, 10), "alone", "it was enough")
    assert [row["number"] for row in runs.rows(deleted=True)] == [6]
    assert runs.setting("at_once", 2) == 3


def test_a_database_of_version_1_is_brought_up_to_date_with_its_races(tmp_path):
    version_1(tmp_path)
    for _ in range(2):
        with contextlib.closing(Store(tmp_path)) as runs:
            as_version_1_had_it(runs)
            assert (runs.problem, runs.writable) == ("", True)
            version = runs.database._connection.execute("PRAGMA user_version").fetchone()[0]
            assert version == len(SCHEMA)
    with contextlib.closing(Store(tmp_path)) as runs:
        runs.bring_back(6)
        assert runs.race() == [5, 6]
        assert runs.create(record()) == 7


def test_a_database_of_version_1_that_cannot_be_written_is_looked_at(tmp_path, monkeypatch):
    version_1(tmp_path)
    before, connect = (tmp_path / "dlcore.db").read_bytes(), database._connect
    monkeypatch.setattr(database, "_connect", lambda file, how: refused(connect, file, how))
    with contextlib.closing(Store(tmp_path)) as runs:
        assert not runs.writable
        as_version_1_had_it(runs)
        with pytest.raises(StoreError, match="can be looked at"):
            runs.describe(1, note="x")
    assert (tmp_path / "dlcore.db").read_bytes() == before


def test_a_database_is_not_upgraded_while_an_older_dlcore_trains(tmp_path):
    version_1(tmp_path)
    before = (tmp_path / "dlcore.db").read_bytes()
    lock = folder.lock(tmp_path / "5")
    with pytest.raises(StoreError, match=r"An older dlcore trains run 5 in .* wait until it is over, or stop it there"):
        Store(tmp_path)
    assert (tmp_path / "dlcore.db").read_bytes() == before
    lock.release()
    with contextlib.closing(Store(tmp_path)) as runs:
        assert len(runs.rows()) == 5


def test_a_backup_of_version_1_is_brought_up_to_date_while_a_run_is_under_way(runs):
    (runs.root / "8").mkdir()
    one = record(history=history(2), status="training")
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one)
    version_1(runs.root.with_name("backup"))
    (runs.root.with_name("backup") / "dlcore.db").replace(runs.root / "dlcore.db")
    runs.save(one)
    assert (runs.race(), runs.numbers()) == ([5], [1, 2, 3, 4, 5, 9])
    assert content(runs.open(9).history) == content(one.history)


def test_an_upgrade_that_fails_changes_nothing(runs, monkeypatch):
    number = entered(runs, record(status="finished"))
    runs.close()
    script = "ALTER TABLE runs ADD COLUMN stars INTEGER NOT NULL DEFAULT 3; SELECT stars FROM nowhere;"
    with monkeypatch.context() as patch:
        patch.setattr(database, "SCHEMA", (*SCHEMA, script))
        with pytest.raises(StoreError, match="no such table: nowhere"):
            Store(runs.root)
    with contextlib.closing(Store(runs.root)) as found:
        assert found.open(number).status == "finished"
        assert "stars" not in found.database._connection.execute("SELECT * FROM runs").fetchone().keys()  # noqa: SIM118


def test_a_newer_database_is_refused_and_left_alone(runs):
    entered(runs, record(status="finished"))
    runs.database._connection.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
    runs.close()
    before = (runs.root / "dlcore.db").read_bytes()
    with pytest.raises(StoreError, match=f"has format {len(SCHEMA) + 1}.*up to {len(SCHEMA)}: update dlcore"):
        Store(runs.root)
    assert (runs.root / "dlcore.db").read_bytes() == before
