import contextlib
import gc
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest

from dlcore.runs import database
from dlcore.runs.store import Store, StoreError
from tests.runs.storing import (
    as_it_should_be,
    backed_up,
    checkpoint,
    content,
    cut_to_nothing,
    entered,
    grow,
    history,
    record,
    remove_database,
    remove_folder,
    restore_database,
    restore_folder,
)

# Folders and databases that another one takes the place of, while they are in use


def remove_database_alone(runs):
    """What SQLite keeps beside it stays."""
    (runs.root / "dlcore.db").unlink()


def make_folder_anew(runs):
    shutil.rmtree(runs.root)
    runs.root.mkdir()


def remove_runs_folder(runs):
    shutil.rmtree(runs.root / "2")


@pytest.mark.parametrize("grown", [0, 2])
@pytest.mark.parametrize(
    "remove",
    [remove_folder, remove_database, remove_database_alone, make_folder_anew, remove_runs_folder, cut_to_nothing],
)
def test_a_run_under_way_is_entered_again_whole_when_what_it_was_kept_in_is_gone(runs, held, remove, grown):
    remove(runs)
    grow(held, grown)
    runs.save(held)
    as_it_should_be(runs.root, held)
    assert content(runs.open(held.number).history) == content(held.history)
    if remove is not remove_runs_folder:
        assert ("run 2" in runs.problem) == (remove is not cut_to_nothing)
        assert ("was removed while it was in use" in runs.problem) == (remove is not cut_to_nothing)
        assert runs.numbers() == [2]
    grow(held, 1)
    runs.save(held, [checkpoint(6)])
    assert content(runs.open(held.number).history) == content(held.history)
    assert runs.open(held.number).rewinds == (remove is remove_runs_folder)  # entered again once, and then as ever
    assert runs.create(record()) == 3
    assert {"lock", "run.json", "epoch-6.pt"} <= {file.name for file in (runs.root / "2").iterdir()}


def restore_folder_with_what_was_there_aside(runs, backup):
    runs.root.rename(runs.root.with_name("aside"))
    backup.rename(runs.root)


@pytest.mark.parametrize("grown", [0, 2])
@pytest.mark.parametrize("epochs", [0, 1, 3])
@pytest.mark.parametrize("restore", [restore_folder, restore_folder_with_what_was_there_aside, restore_database])
def test_a_run_under_way_is_brought_up_to_date_in_a_backup_that_is_restored(runs, held, restore, epochs, grown):
    backup = backed_up(runs, held, epochs)
    before = runs.open(held.number)
    restore(runs, backup)
    grow(held, grown)
    runs.save(held)
    as_it_should_be(runs.root, held)
    assert content(runs.open(held.number, before).history) == content(held.history)
    assert [row["name"] for row in runs.rows()] == ["live", "over"]
    assert runs.open(held.number).note == "as it was"
    assert "was replaced while it was in use" in runs.problem
    assert "(run 2)" in runs.problem
    grow(held, 1)
    runs.save(held)
    assert content(runs.open(held.number).history) == content(held.history)


@pytest.mark.parametrize("others", [0, 300], ids=["a backup of this list", "another list"])
def test_what_is_restored_is_left_as_it_is_after_a_restart_too(runs, others):
    """At a restart there is nothing beside the database; what is written from then on is beside it, and stays."""
    backup = runs.root.with_name("backup")
    with contextlib.closing(Store(backup)) as other:
        for count in range(others):
            other.create(record(f"other {count}", status="finished"))
    entered(runs, record("before", status="finished"))
    runs.close()
    if not others:
        shutil.copy(runs.root / "dlcore.db", backup / "dlcore.db")
    with contextlib.closing(Store(backup)) as other:
        expected = [row["name"] for row in other.rows()]
    with contextlib.closing(Store(runs.root)) as again:
        entered(again, *(record(f"after {count}", status="finished") for count in range(5)))
        restore_database(again, backup)
        assert [row["name"] for row in again.rows()] == expected
        again.create(record("new"))
    with contextlib.closing(Store(runs.root)) as later:
        assert [row["name"] for row in later.rows()] == ["new", *expected]
        assert later.problem == ""
        assert later.database._connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_backup_of_another_course_of_a_run_is_overwritten(runs, held):
    """The run went back since, and then on by another way."""
    backup = backed_up(runs, held, 3, other_course=True)
    restore_folder(runs, backup)
    before = runs.open(held.number)
    assert content(before.history) != content(held.history)
    runs.save(held)
    assert content(runs.open(held.number, before).history) == content(held.history)


def test_readers_see_what_is_there_now(runs, held):
    before = runs.open(held.number)
    with contextlib.closing(Store(runs.root)) as reader:
        assert len(reader.rows()) == 2
        restore_database(runs, backed_up(runs, held, 1))
        assert content(reader.open(held.number, before).history) == content(before.history.until(10))
        assert "was replaced" in reader.problem
        remove_folder(runs)
        assert reader.rows() == []
        assert "was removed" in reader.problem
        runs.save(held)
        assert [row["name"] for row in reader.rows()] == ["live"]


def test_many_threads_go_over_to_what_is_there_now(runs, held):
    errors, stop = [], threading.Event()

    def read():
        before = None
        try:
            while not stop.is_set():
                with contextlib.suppress(StoreError):  # there is no run 2 for a moment
                    before = runs.open(held.number, before)
                runs.rows()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            (backed_up(runs, held, 2) / "dlcore.db").replace(runs.root / "dlcore.db")
            grow(held, 1)
            runs.save(held)
            assert content(runs.open(held.number).history) == content(held.history)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert errors == []
    assert list(runs.root.glob("dlcore-*.db")) == []


def test_another_run_of_the_same_number_is_left_alone(runs, held):
    backup = runs.root.with_name("backup")
    with contextlib.closing(Store(backup)) as other:
        entered(other, record("a"), record("someone's", history=history(5)))
    restore_folder(runs, backup)
    for _ in range(2):
        with pytest.raises(StoreError, match="Run 2, which trains here, is another one than the run 2 in"):
            runs.save(held)
    assert (runs.open(2).name, len(runs.open(2).history.losses)) == ("someone's", 50)


def test_a_run_that_another_process_took_meanwhile_is_left_to_it(runs, held, holder):
    restore_folder(runs, backed_up(runs, held, 1))
    process = holder(held.number)
    for _ in range(2):
        with pytest.raises(StoreError, match="Run 2 is under way already, here or in another process"):
            runs.save(held)
    assert len(runs.open(held.number).history.losses) == 10
    process.kill()
    process.join()
    runs.save(held)
    as_it_should_be(runs.root, held)


@pytest.mark.parametrize("remove", [remove_folder, remove_database, remove_runs_folder])
def test_what_is_removed_while_it_is_written_is_written_again(runs, held, remove):
    original, removals = database._transaction, [remove]

    def whole(db, begin, function):
        result = original(db, begin, function)
        if begin == "BEGIN IMMEDIATE" and removals:
            removals.pop()(runs)
        return result

    grow(held, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_transaction", whole)
        with contextlib.suppress(StoreError):  # which would be tried again
            runs.save(held)
    assert not removals
    runs.save(held)
    as_it_should_be(runs.root, held)


def test_a_new_run_that_falls_into_the_gap_is_in_the_new_database(runs, held):
    remove_folder(runs)
    number = runs.create(record("new"))
    assert number == held.number + 1  # the number of the one under way is taken
    runs.save(held)
    assert [row["name"] for row in runs.rows()] == ["new", "live"]


def test_a_new_database_that_cannot_be_made_is_told_and_tried_again(runs, held, monkeypatch):
    remove_folder(runs)
    with monkeypatch.context() as patch:
        patch.setattr(database, "_connect", lambda file, how: sqlite3.connect("/proc/none/dlcore.db"))
        for call in (lambda: runs.save(held), runs.rows):
            with pytest.raises(StoreError, match="Runs cannot be kept in"):
                call()
    runs.save(held)
    as_it_should_be(runs.root, held)


def test_descriptors_are_given_back(runs, held):
    def count():
        gc.collect()
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    runs.save(held)
    before = count()
    for _ in range(5):
        remove_folder(runs)
        runs.save(held, [checkpoint(3)])
    after = count()
    assert after <= before
    runs.release(held.number)
    assert count() == after - 2  # its lock, and its last checkpoint
    runs.close()
    assert count() < after - 4


# Lists of runs that are lost


def test_a_list_that_was_cut_to_nothing_is_told_at_the_next_start(runs, held):
    runs.save(runs.open(1), [checkpoint(1)])
    runs.close()
    cut_to_nothing(runs)
    with contextlib.closing(Store(runs.root)) as found:
        assert found.rows() == []
        assert f"{runs.root / 'dlcore.db'} held no list of runs" in found.problem
        assert "folders of runs that are not in it (1, 2)" in found.problem
        assert found.create(record()) == 3
    with contextlib.closing(Store(runs.root)) as again:
        assert again.problem == ""


@pytest.mark.parametrize("finished", [True, False], ids=["the folder of another stays", "the only folder is its own"])
def test_an_import_is_told_of_while_there_are_folders_that_no_row_knows(runs, held, finished):
    if finished:
        runs.save(runs.open(1), [checkpoint(1)])
    remove_database(runs)
    assert runs.rows() == []
    runs.save(held)
    assert "what is under way here (run 2) is entered again." in runs.problem
    assert ("not in it (1). The Runs page offers" in runs.problem) == finished
    shutil.rmtree(runs.root / "1", ignore_errors=True)  # as by the rest of a removal that is on its way
    assert runs.problem.endswith("what is under way here (run 2) is entered again.")


def test_what_happened_is_told_until_it_is_dismissed(runs, held):
    remove_folder(runs)
    runs.save(held)
    first = runs.problem
    restore_database(runs, backed_up(runs, held, 1))
    runs.save(held)
    second = runs.problem
    assert "was removed" in first
    assert "was replaced" in second
    runs.dismiss(first)  # late: it had been followed by another
    assert runs.problem == second
    runs.dismiss(second)
    assert runs.problem == ""


@pytest.mark.parametrize("early", [True, False], ids=["nothing of it is left", "some of it is left"])
def test_what_was_in_a_file_that_is_gone_is_told_at_the_next_start(runs, held, early):
    if not early:
        runs.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        grow(held, 2)
        runs.save(held, [checkpoint(4), checkpoint(5)])
    left = runs.root.with_name("left")
    shutil.copytree(runs.root, left, ignore=shutil.ignore_patterns("dlcore.db-*"))  # as of a process that was killed
    with contextlib.closing(Store(left)) as found:
        assert len(found.rows()) == (0 if early else 2)
        told = "held no list of runs" if early else "for the checkpoints of run 2 are of later epochs than those in it"
        assert told in found.problem
        assert found.create(record()) == 3
    with contextlib.closing(Store(runs.root)) as whole:
        assert whole.problem == ""


def test_a_new_list_in_a_folder_of_other_things_is_nothing_to_tell(tmp_path):
    (tmp_path / "2024").mkdir()
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "notes.txt").write_text("mine")
    with contextlib.closing(Store(tmp_path)) as runs:
        assert (runs.problem, runs.unlisted()) == ("", [])
        assert runs.create(record()) == 2025


@pytest.mark.parametrize("known", [True, False], ids=["a list that is there", "a new list"])
def test_files_that_have_the_names_of_runs_are_nothing_to_tell(tmp_path, known):
    if known:
        Store(tmp_path).close()
    (tmp_path / "7").write_text("mine")
    (tmp_path / "8").symlink_to("8")
    with contextlib.closing(Store(tmp_path)) as runs:
        assert (runs.problem, runs.unlisted(), runs.checkpoints(7)) == ("", [], [])
        assert runs.create(record()) == 9
    assert (tmp_path / "7").read_text() == "mine"
