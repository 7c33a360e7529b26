import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from dlcore.history import Change
from dlcore.runs import checkpoints, database
from dlcore.runs.store import Store, StoreError
from tests.running import MOONS, changed
from tests.runs.storing import checkpoint, content, entered, grow, history, record, refused


@pytest.mark.parametrize("name", ["with space", "100%25", "a#b", "a?mode=memory", "ünï 😀", "'quoted\""])
def test_a_folder_may_have_any_name(tmp_path, name):
    with contextlib.closing(Store(tmp_path / name)) as runs:
        entered(runs, record("here"))
    assert (tmp_path / name / "dlcore.db").stat().st_size
    with contextlib.closing(Store(tmp_path / name)) as runs:
        assert runs.rows()[0]["name"] == "here"


# Damage


def spoil_header(file):
    file.write_bytes(b"These are the notes of a person" + file.read_bytes()[31:])


def spoil_text(file):
    file.write_bytes(b"These are the notes of a person.\n" * 300)


def spoil_middle(file):
    content = file.read_bytes()
    page = 4096
    file.write_bytes(content[:page] + os.urandom(len(content) - page))


@pytest.mark.parametrize("spoil", [spoil_header, spoil_text, spoil_middle])
def test_a_damaged_database_stays_as_it_is_and_a_new_one_begins(runs, spoil):
    entered(runs, record("a", history=history(3), status="finished"), record("b", status="finished"))
    runs.save(runs.open(2), [checkpoint(1)])
    runs.close()
    spoil(runs.root / "dlcore.db")
    damaged = (runs.root / "dlcore.db").read_bytes()
    with contextlib.closing(Store(runs.root)) as found:
        assert found.writable
        assert str(runs.root / "dlcore.db") in found.problem
        assert "damaged" in found.problem
        assert "\n" not in found.problem
        assert found.rows() == []
        assert entered(found, record("c", status="finished")) == 3  # the checkpoints of 1 and 2 are theirs
        assert found.open(3).name == "c"
    assert (runs.root / "dlcore.db").read_bytes() == damaged
    assert (runs.root / "2" / "epoch-1.pt").exists()
    with contextlib.closing(Store(runs.root)) as again:
        assert [one["name"] for one in again.rows()] == ["c"]
        assert again.problem == ""


def test_damage_that_shows_later_is_told_and_the_run_enters_the_new_database_whole(runs):
    """The pages of losses alone are damaged: the store opens, and whoever reads on meets them."""
    one = record("a", history=history(50, per_epoch=1000), status="training", recipe=changed(MOONS, epochs=60))
    one.number = runs.create(one)
    runs.hold(one.number)
    runs.save(one)
    made = [Change(7, "optimizer.lr", 0.5)]
    one.history.changes = made
    db = runs.database._connection
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = db.execute("PRAGMA page_size").fetchone()[0]
    (first,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'losses'").fetchone()
    with (runs.root / "dlcore.db").open("r+b") as file:
        file.seek((first - 1) * page)
        file.write(b"\xa5" * page)
    db.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreError, match=r"is damaged .* a new one has begun in dlcore-2\.db beside it"):
        runs.open(one.number)
    grow(one, 1)
    runs.save(one, [checkpoint(51)])
    found = runs.open(one.number)
    assert content(found.history) == content(one.history)
    assert (found.name, found.status, found.history.changes) == ("a", "training", made)
    assert runs.create(record()) == one.number + 1
    assert "dlcore-2.db" in runs.problem


def test_another_process_follows_into_the_new_database(runs):
    number = entered(runs, record("a", status="finished"))
    with contextlib.closing(Store(runs.root)) as other:
        other.hold(number)
        assert len(other.rows()) == 1
        runs.database._begin_anew("a test")
        assert other.rows() == []
        other.save(other_run := record("a", history=history(2), status="training"))
        other_run.number = number
        other.save(other_run)
        assert content(runs.open(number).history) == content(other_run.history)
        assert "dlcore-2.db" in other.problem
        assert sorted(file.name for file in runs.root.glob("*.db")) == ["dlcore-2.db", "dlcore.db"]


# Disks that cannot be written


@pytest.mark.parametrize("root", ["/dev/null/runs", "/proc/runs"])
def test_a_place_where_nothing_can_be_kept_is_told(root):
    with pytest.raises(StoreError, match=rf"Runs cannot be kept in {root}: .*; let DLCORE_RUNS name a folder"):
        Store(Path(root))


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "runs").write_text("notes")
    with pytest.raises(StoreError, match="Runs cannot be kept in"):
        Store(tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "notes"


def look_as_nobody(root, results):
    os.setgid(65534)
    os.setuid(65534)
    try:
        found, refused = Store(root), ""
        try:
            found.describe(1, note="mine")
        except StoreError as error:
            refused = str(error)
        run = found.open(1)
        results.put([found.writable, found.problem, refused, run.history.losses.tobytes(), run.status, found.rows()])
    except BaseException as error:
        results.put([repr(error)])


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can become someone else")
@pytest.mark.parametrize("live", [True, False], ids=["while it is written", "at rest"])
def test_a_store_of_someone_else_can_be_looked_at(request, live, forked):
    folder = tempfile.TemporaryDirectory()  # pytest's own may be entered by nobody else
    request.addfinalizer(folder.cleanup)
    Path(folder.name).chmod(0o755)
    runs = Store(Path(folder.name) / "runs")
    request.addfinalizer(runs.close)
    number = entered(runs, record("a", history=history(3), status="training"))
    if live:
        runs.hold(number)
    else:
        runs.close()
    results = forked.Queue()
    process = forked.Process(target=look_as_nobody, args=(runs.root, results))
    process.start()
    got = results.get(timeout=60)
    assert len(got) == 6, got
    writable, problem, refused, losses, status, rows = got
    process.join()
    assert not writable
    assert problem == refused
    assert f"Runs cannot be kept in {runs.root}" in problem
    assert "can be looked at" in problem
    assert [one["name"] for one in rows] == ["a"]
    assert losses == history(3).losses.tobytes()
    assert (number, status) == (1, "training" if live else "interrupted")


def test_a_disk_that_cannot_be_written_is_looked_at(runs, monkeypatch):
    number = entered(runs, record("a", history=history(3), status="finished"))
    runs.close()
    connect = database._connect
    monkeypatch.setattr(database, "_connect", lambda file, how: refused(connect, file, how))
    with contextlib.closing(Store(runs.root)) as found:
        assert not found.writable
        assert content(found.open(number).history) == content(history(3))
        for attempt in (
            lambda: found.create(record()),
            lambda: found.delete(number),
            lambda: found.rewind(number, 0, (0, 0)),
            lambda: found.set_setting("a", 1),
            lambda: found.describe(number, name="b"),
        ):
            with pytest.raises(StoreError, match=r"attempt to write a readonly database.*can be looked at"):
                attempt()
        assert found.rows()[0]["name"] == "a"


def test_a_full_disk_is_told_with_what_to_do(runs, monkeypatch):
    number = entered(runs, record(history=history(1)))
    runs.database._connection.execute("PRAGMA max_page_count = 1")  # SQLite's own "database or disk is full"
    grow(big := runs.open(number), 1, per_epoch=50_000)
    with pytest.raises(StoreError, match=r"Runs cannot be kept in .*full; make room there"):
        runs.save(big)
    runs.database._connection.execute("PRAGMA max_page_count = 1000000")
    assert content(runs.open(number).history) == content(history(1))  # nothing of it, rather than half
    runs.save(big)
    assert content(runs.open(number).history) == content(big.history)

    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", no_room)
    with pytest.raises(StoreError, match="No space left on device; make room there"):
        runs.save(big, [checkpoint(1)])
