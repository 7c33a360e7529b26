"""The store: every run on disk, below one folder.

    runs/dlcore.db       SQLite: recipes, statuses, every loss and every epoch, names, notes, tags (dlcore-2.db, and so
                         on, once the one before was found damaged)
    runs/12/epoch-3.pt   a checkpoint of run 12 (epoch-3+20.pt: 20 steps into epoch 4)
    runs/12/lock         held by the process that trains run 12
    runs/12/run.json     what run 12 is, should the database be lost

A run has one writer, which holds its lock; any number of processes read. A lock ends with its process, however that
ended: a run that was under way and whose lock nobody holds was interrupted. What is written is committed whole, metrics
before the checkpoint that goes with them, so that a checkpoint never knows more than the history.

The folder and the database may be replaced at any time, as by a backup: what is at their place then is used, and the
runs that are held are entered there again, whole.
"""

import contextlib
import errno
import itertools
import json
import math
import os
import re
import shutil
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from filelock import FileLock, Timeout

from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs import checkpoints, folders
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.folders import FolderError
from dlcore.runs.records import ACTIVE, LONGEST_NOTE, Branch, Failure, Record, Stored, environment
from dlcore.settings import SettingsError, parse

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

T = TypeVar("T")
GRACE = 24 * 3600  # seconds that a deleted run can be brought back
FORMAT = 1  # of a run's row; a newer one is left alone
OVERDUE = "overdue"  # the setting that keeps since when deleted runs were found to be removed for good
NOWHERE = (0, 0, True)  # no file that is open
IMPORT = "The Runs page offers to enter them again; on the command line, python -m dlcore runs tells of them."

# The n-th script makes version n of n - 1; a store of any version is brought to the last one when it is opened.
SCHEMA = (
    """
    CREATE TABLE runs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        format INTEGER NOT NULL,
        name TEXT NOT NULL,
        note TEXT NOT NULL DEFAULT '',
        tags TEXT NOT NULL DEFAULT '[]',
        recipe TEXT NOT NULL,
        environment TEXT NOT NULL,
        status TEXT NOT NULL,
        reason TEXT NOT NULL,
        failure TEXT,
        race INTEGER,
        parent INTEGER, parent_epoch INTEGER, parent_step INTEGER,
        created REAL NOT NULL,
        steps INTEGER NOT NULL,
        steps_per_epoch INTEGER NOT NULL,
        "offset" INTEGER NOT NULL,
        elapsed REAL NOT NULL,
        stepping REAL NOT NULL,
        last_epoch INTEGER NOT NULL,
        best_epoch INTEGER NOT NULL,
        size INTEGER NOT NULL DEFAULT 0,
        rewinds INTEGER NOT NULL DEFAULT 0,
        deleted REAL
    );
    CREATE TABLE epochs (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        epoch INTEGER NOT NULL, step INTEGER NOT NULL,
        train_loss REAL, train_accuracy REAL, val_loss REAL, val_accuracy REAL,
        lr REAL NOT NULL, seconds REAL NOT NULL, steps_per_second REAL NOT NULL,
        PRIMARY KEY (run, epoch)
    ) WITHOUT ROWID;
    CREATE TABLE losses (  -- of every step: float32, little endian, from step "first" (0 is the first step)
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        "first" INTEGER NOT NULL,
        "values" BLOB NOT NULL,
        PRIMARY KEY (run, "first")
    );
    CREATE TABLE changes (
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        step INTEGER NOT NULL, setting TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (run, step, setting)
    ) WITHOUT ROWID;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
)

# A row for the table of runs and for the command line. Accuracies are shares of 1; `created` is made readable later.
SUMMARY = """
    SELECT number, name, status, reason, last_epoch AS epoch, steps AS step, last.val_accuracy, last.val_loss,
        last.train_loss, last.seconds, best_epoch, best.val_accuracy AS best_val_accuracy,
        best.val_loss AS best_val_loss, created, elapsed, tags, note, race, parent, parent_epoch, size,
        json_extract(recipe, '$.data.kind') AS data, json_extract(recipe, '$.model.kind') AS model,
        json_extract(recipe, '$.optimizer.kind') AS optimizer, json_extract(recipe, '$.optimizer.lr') AS lr,
        coalesce((SELECT value FROM changes WHERE run = number AND setting = 'epochs'
            AND step >= coalesce(parent_step, 0) ORDER BY step DESC LIMIT 1),
            json_extract(recipe, '$.epochs')) AS epochs
    FROM runs
    LEFT JOIN epochs AS last ON last.run = number AND last.epoch = last_epoch
    LEFT JOIN epochs AS best ON best.run = number AND best.epoch = best_epoch
"""


class StoreError(Exception):
    """The store cannot do this; the text is one sentence for people."""


class Kept(NamedTuple):
    """A checkpoint on disk."""

    epoch: int  # whole epochs done
    place: int  # steps done of the one after
    file: Path


def runs_root() -> Path:
    """Where runs are kept: `runs/` below the working directory, unless DLCORE_RUNS says otherwise."""
    return Path(os.environ.get("DLCORE_RUNS") or "runs")


class Unlisted(NamedTuple):
    """A run's folder that the list of runs does not know."""

    number: int
    name: str  # empty when the folder does not tell it
    epoch: int  # the last whole one that has a checkpoint
    problem: str  # why it cannot be entered by itself, as part of a sentence; empty when it can


class Held(NamedTuple):
    """A run that this store writes."""

    lock: FileLock
    where: tuple  # the database, of those that were opened, that has the whole of the run; and its lock's file
    latest: tuple[Path, BinaryIO] | None = None  # its last checkpoint, open, so that it can be read once it is removed


class Store:
    """The runs below a folder. Safe to use from any thread; methods raise StoreError."""

    def __init__(self, root: Path | None = None):
        """Opens the store, or makes it. One that cannot be written is opened to read (`problem` says why); raises
        StoreError when that cannot be either. A damaged database is left as it is, and a new one begun (`problem`).
        """
        self.root = (root or runs_root()).absolute()
        self._problem = ""
        self._lost: list[int] = []  # runs whose folders were there when a new list of runs was begun
        self.writable = True
        self._file = self.root / "dlcore.db"
        self._lock = threading.RLock()  # of those who write
        self._reading = threading.RLock()  # of those who read, on a connection of their own: they wait for no writer
        self._locks: dict[int, Held] = {}
        self._connection = self._reader = self._folder_open = None
        self._opened = 0  # how many databases were
        with self._lock, self._reading, self._told():
            self._open_latest()
        if self.writable:
            try:
                self._problem = f"{self._problem} {self._what_is_lost()}".strip()
                self.purge()
            except StoreError as error:  # whoever starts later will do it
                self._problem = self._problem or str(error)

    def close(self) -> None:
        with self._lock, self._reading:
            for number in list(self._locks):
                self.release(number)
            self._disconnect()
            if self._folder_open:
                self._folder_open()

    @property
    def problem(self) -> str:
        """What is wrong with the store, or has happened to it, for people; empty when nothing is."""
        with contextlib.suppress(StoreError):  # one that cannot be read now says so to whoever reads it
            left = [one.number for one in self.unlisted() if one.number in self._lost] if self._lost else []
            if left:
                begun = self._problem or f"{self._file} held no list of runs: a new one has begun."
                return f"{begun} There are folders of runs that are not in it ({_listed(left)}). {IMPORT}"
        return self._problem

    def dismiss(self, problem: str) -> None:
        """A person has read it. What still holds stays, and so does what is new since."""
        if self.writable and self.problem == problem:
            self._problem, self._lost = "", []

    # Reading

    def rows(self, deleted: bool = False) -> list[dict]:
        """A row a run, newest first: what a table of runs shows."""
        where = f"WHERE deleted IS {'NOT ' if deleted else ''}NULL ORDER BY number DESC"
        rows = self._do(lambda db: db.execute(f"{SUMMARY} {where}").fetchall())
        return [self._summary(row) for row in rows]

    def interrupted(self, most: int) -> list[dict]:
        """The newest runs whose process ended while it trained them, as `rows` gives them."""
        under_way = ", ".join(f"'{status}'" for status in ACTIVE)
        where = f"WHERE deleted IS NULL AND status IN ({under_way}) ORDER BY number DESC LIMIT 20"
        rows = [self._summary(row) for row in self._do(lambda db: db.execute(f"{SUMMARY} {where}").fetchall())]
        return [row for row in rows if row["status"] == "interrupted"][:most]

    def numbers(self) -> list[int]:
        """Of all runs that are not deleted, oldest first."""
        query = "SELECT number FROM runs WHERE deleted IS NULL ORDER BY number"
        return [row["number"] for row in self._do(lambda db: db.execute(query).fetchall())]

    def race(self, race: int | None = None) -> list[int]:
        """The runs of a race that are not deleted, first to last; those of the newest one unless another is named."""

        def read(db: sqlite3.Connection) -> list[int]:
            newest = "SELECT race FROM runs WHERE race IS NOT NULL AND deleted IS NULL ORDER BY number DESC LIMIT 1"
            row = {"race": race} if race is not None else db.execute(newest).fetchone()
            # A race is called by the number of its first run.
            query = "SELECT number FROM runs WHERE number >= :race AND race = :race AND deleted IS NULL ORDER BY number"
            return [found["number"] for found in db.execute(query, dict(row))] if row else []

        return self._do(read)

    def open(self, number: int, before: Stored | None = None) -> Stored:
        """A run with its history. `before`, if given, is that run as it was read earlier: only what is new is read, and
        added to its history.
        """

        def read(db: sqlite3.Connection) -> Stored:
            row = db.execute(
                "SELECT runs.*, (SELECT name FROM runs AS other WHERE other.number = runs.parent) AS parent_name "
                "FROM runs WHERE number = ?",
                [number],
            ).fetchone()
            if row is None:
                raise self._unknown(number)
            if row["format"] > FORMAT:
                told = f"Run {number} has format {row['format']}, and this dlcore reads up to {FORMAT}: update dlcore."
                raise StoreError(told)
            same = before and (before.rewinds, before.created) == (row["rewinds"], row["created"])
            goes_on = same and before.history.steps <= _steps(db, number)  # unless this is an older database
            history = before.history if goes_on else History()
            _read_on(db, number, history)
            return self._stored(row, history)

        return self._do(read)

    def checkpoints(self, number: int) -> list[Kept]:
        """A run's checkpoints on disk, latest first."""
        found = []
        folder = self._folder(number)
        with self._told(), contextlib.suppress(FileNotFoundError):
            for file in folder.iterdir() if folder.is_dir() else ():
                if match := re.fullmatch(r"epoch-(\d+)(?:\+(\d+))?\.pt", file.name):
                    found.append(Kept(int(match[1]), int(match[2] or 0), file))
        return sorted(found, reverse=True)

    def epochs_kept(self, number: int) -> list[int]:
        """The epochs whose end has a checkpoint, first to last."""
        return sorted(kept.epoch for kept in self.checkpoints(number) if not kept.place and kept.file.is_file())

    def checkpoint(self, number: int, epoch: int) -> Checkpoint:
        """The checkpoint of an epoch's end. Raises StoreError when there is none, or when it cannot be read."""
        for kept in self.checkpoints(number):
            if (kept.epoch, kept.place) == (epoch, 0):
                try:
                    return checkpoints.read(kept.file)
                except CheckpointError as error:
                    raise StoreError(
                        f"The checkpoint of epoch {epoch} of run {number} cannot be used: {error}."
                    ) from error
        has = ", ".join(map(str, self.epochs_kept(number))) or "none"
        raise StoreError(f"Run {number} has no checkpoint of epoch {epoch}; it has those of epochs: {has}.")

    def latest(self, run: Stored) -> tuple[Checkpoint | None, list[str]]:
        """The latest checkpoint that a run can go on from, or None; and a sentence on every one passed over."""
        passed = []
        for kept in self.checkpoints(run.number):
            try:
                found = checkpoints.read(kept.file)
                if found.step <= run.history.steps:  # or it was saved just before the metrics were lost
                    checkpoints.check_weights(found, run.recipe)
                    return found, passed
            except CheckpointError as error:
                passed.append(f"The checkpoint {kept.file.name} of run {run.number} was passed over: {error}.")
        return None, passed

    def unlisted(self) -> list[Unlisted]:
        """Folders of runs, with checkpoints, that the list of runs does not know, as when it was lost; oldest first."""
        with self._told():
            numbers = self._folders()
        known = {row["number"] for row in self._do(lambda db: db.execute("SELECT number FROM runs").fetchall())}
        found = []
        for number in [number for number in numbers if number not in known]:
            kept = [one for one in self.checkpoints(number) if one.file.is_file()]
            if kept and not self._is_held(number):  # or its holder is about to enter it
                try:
                    name, problem = folders.read(self._folder(number)).name, ""
                except FolderError as error:
                    name, problem = "", str(error)
                found.append(Unlisted(number, name, kept[0].epoch, problem))
        return found

    def setting(self, name: str, default: T) -> T:
        """Something that a person has set for this store."""
        row = self._do(lambda db: db.execute("SELECT value FROM settings WHERE name = ?", [name]).fetchone())
        return json.loads(row["value"]) if row else default

    # Writing

    def create(self, record: Record) -> int:
        """Enter a run, and give it a number."""
        return self._do(lambda db: _create(db, record, self._next_number(db)), write=True)

    def take_in(self, number: int, recipe: Recipe | None = None) -> list[str]:
        """Enter the run of an unlisted folder, so that it can go on from its last checkpoint; `recipe` where the folder
        tells none. Returns a sentence on every checkpoint passed over.
        """
        if number not in (one.number for one in self.unlisted()):
            told = f"{self.root} has no such folder with checkpoints of a run that is not in the list already"
            raise StoreError(f"Run {number} cannot be imported: {told}.")
        try:
            run = Stored(0, f"run {number}", recipe) if recipe else folders.read(self._folder(number))
        except FolderError as error:
            told = f"name the recipe, as in `python -m dlcore import {number} --recipe two-moons`"
            raise StoreError(f"Run {number} cannot be imported by itself: {error}; {told}.") from error
        run.number, passed = number, []
        for kept in [one for one in self.checkpoints(number) if one.file.is_file()]:
            try:
                last = checkpoints.read(kept.file)
                checkpoints.check_weights(last, run.first_recipe)
                self.save(folders.as_it_was(run, last))
                break
            except (CheckpointError, FolderError) as error:
                passed.append(f"The checkpoint {kept.file.name} of run {number} was passed over: {error}.")
        else:
            raise StoreError(" ".join([f"Run {number} cannot be imported: no checkpoint can be used.", *passed]))
        told = f"Imported from its folder. What it measured up to step {last.step:,} (epoch {last.epochs}) is lost."
        note = "\n\n".join(filter(None, [told, run.note]))
        if run.note.startswith(told) or len(note) > LONGEST_NOTE:  # of what a person wrote, nothing is cut off
            note = run.note
        self._do(lambda db: _update(db, number, {"note": note, "size": self._size(number)}), write=True)
        return passed

    def save(self, record: Record, found: Sequence[Checkpoint] = ()) -> None:
        """Bring a run whose lock this store holds up to date; what was saved before is not written again, unless it was
        saved elsewhere: into a database, or a folder, that another one has taken the place of.
        """
        values = _columns(record)  # the status first: what follows is at least as new
        history, number = record.history, record.number
        # A run that is over has its last checkpoint, whenever this is broken off.
        late = ("status", "reason", "failure") if found and values["status"] not in ACTIVE else ()
        last = {name: values.pop(name) for name in late}
        again = self._hold_again(number)
        with self._told():
            where = self._where(number)

        def write(db: sqlite3.Connection) -> None:
            row = db.execute("SELECT created FROM runs WHERE number = ?", [number]).fetchone()
            if row is None:  # this is another database than the last time
                _create(db, record, number)
                _update(db, number, self._described_in_folder(record))
            elif again:  # what it knows may be old, or of another course
                if row["created"] != record.created:
                    told = f"Run {number}, which trains here, is another one than the run {number} in {self._file} now"
                    raise StoreError(f"{told}: it cannot be kept there.")
                for table in ("losses", "epochs"):
                    db.execute(f"DELETE FROM {table} WHERE run = ?", [number])
                db.execute("UPDATE runs SET rewinds = rewinds + 1 WHERE number = ?", [number])
            _save_losses(db, number, history.losses)
            known = db.execute("SELECT max(epoch) AS epoch FROM epochs WHERE run = ?", [number]).fetchone()
            for row in history.epochs[known["epoch"] or 0 :]:
                line = {"run": number, **asdict(row)}
                db.execute(_insert("epochs", line), list(line.values()))
            db.execute("DELETE FROM changes WHERE run = ?", [number])  # few, and some may have been taken back
            for change in history.changes:
                line = {"run": number, **asdict(change), "value": json.dumps(change.value)}
                db.execute(_insert("changes", line), list(line.values()))
            _update(db, number, values)

        self._do(write, write=True)
        if number in self._locks:
            self._write_folder(record)
        if found or again:
            with self._told():  # takes its time, so nobody is locked out
                size = self._save_checkpoints(record, found) if found else self._save_latest_again(number)
            self._do(lambda db: _update(db, number, {"size": size, **last}), write=True)
        with self._lock:
            if number in self._locks:
                if self._where(number) != where:
                    raise StoreError(f"{self.root} was replaced while run {number} was saved into it.")
                self._locks[number] = self._locks[number]._replace(where=where)

    def _save_checkpoints(self, record: Record, found: Sequence[Checkpoint]) -> int:
        """Write them, remove those that are not worth keeping; the bytes of all that are left."""
        folder = self._folder(record.number)
        for checkpoint in found:
            place = f"+{checkpoint.place}" if checkpoint.place else ""
            file = folder / f"epoch-{checkpoint.epochs}{place}.pt"
            if file.is_dir():
                self._set_aside(file)
            checkpoints.write(checkpoint, file)
        self._keep_open(record.number, file)
        best = record.history.best.epoch if record.history.best else 0
        kept = [one for one in self.checkpoints(record.number) if one.file.is_file()]
        ends = [one.epoch for one in kept if not one.place]
        wanted = checkpoints.worth_keeping(ends, best, found[-1].size)
        if record.branch:
            wanted.add(record.branch.epoch)  # nothing before it could make it again
        for number, one in enumerate(kept):
            if (number > 0) if one.place else (one.epoch not in wanted):
                one.file.unlink(missing_ok=True)
        return self._size(record.number)

    def _save_latest_again(self, number: int) -> int:
        """Write the last checkpoint of a run that is held into the folder that took the place of its own."""
        if latest := self._locks[number].latest:
            file, stream = latest
            if not (file.is_file() and os.path.samestat(file.stat(), os.fstat(stream.fileno()))):
                stream.seek(0)
                checkpoints.copy(stream, file)
                self._keep_open(number, file)
        return self._size(number)

    def _size(self, number: int) -> int:
        """Bytes of all its checkpoints."""
        return sum(file.stat().st_size for file in self._folder(number).glob("*.pt") if file.is_file())

    def _keep_open(self, number: int, file: Path | None) -> None:
        with self._lock:
            if held := self._locks.get(number):
                if held.latest:
                    held.latest[1].close()
                self._locks[number] = held._replace(latest=(file, file.open("rb")) if file else None)

    def _set_aside(self, folder: Path) -> None:
        """Give a folder that is where a file belongs another name."""
        names = (folder.with_name(f"{folder.name}.{count}") for count in itertools.count(1))
        aside = folder.rename(next(name for name in names if not name.exists()))
        self._problem = f"{folder} is a checkpoint's place, but was a folder; that is now called {aside.name}."

    def rewind(self, number: int, step: int, place: tuple[int, int]) -> None:
        """Forget what was measured after a step, so that the run can go on from there; checkpoints after that place
        (whole epochs and steps of the one after), too.
        """

        def write(db: sqlite3.Connection) -> None:
            losses = _losses(db, number, 0)[:step]
            db.execute("DELETE FROM losses WHERE run = ?", [number])
            db.execute("DELETE FROM epochs WHERE run = ? AND step > ?", [number, step])
            _save_losses(db, number, losses)
            db.execute("UPDATE runs SET rewinds = rewinds + 1 WHERE number = ?", [number])

        self._do(write, write=True)
        with self._told():
            later = [kept.file for kept in self.checkpoints(number) if (kept.epoch, kept.place) > place]
            for file in [*later, *self._folder(number).glob("*.partial")]:
                if file.is_file():
                    file.unlink(missing_ok=True)

    def hold(self, number: int) -> None:
        """Become the one that writes a run. Raises StoreError when another process, or another part of this one, is."""
        if not self._do(lambda db: db.execute("SELECT 1 FROM runs WHERE number = ?", [number]).fetchone()):
            raise self._unknown(number)
        with self._lock:
            if number in self._locks:
                raise self._under_way(number)
            lock = self._acquired(number)
            self._locks[number] = Held(lock, self._where(number))

    def _hold_again(self, number: int) -> bool:
        """Whether a run that is held has to be saved whole, for it was saved elsewhere; then its lock is held there."""
        with self._lock, self._told():
            self._follow()
            held = self._locks.get(number)
            if held is None or held.where == self._where(number):
                return False
            if held.where[1] != self._where(number)[1]:
                held.lock.release()
                self._locks[number] = held._replace(lock=self._acquired(number))
            return True

    def _acquired(self, number: int) -> FileLock:
        """The lock of a run that nobody else holds."""
        folder = self._folder(number)
        lock = FileLock(folder / "lock", thread_local=False)
        with self._told():
            folder.mkdir(exist_ok=True)
            try:
                with self._looking():
                    lock.acquire(timeout=1)  # someone who only looks holds it for a moment
            except Timeout:
                raise self._under_way(number) from None
        return lock

    def _where(self, number: int) -> tuple:
        return self._opened, _identity(self._folder(number) / "lock")

    def release(self, number: int) -> None:
        with self._lock:
            self._keep_open(number, None)
            if held := self._locks.pop(number, None):
                held.lock.release()

    def describe(self, number: int, **values: Any) -> None:
        """Set a run's name, note or tags, which are checked already (`records.checked_name` and its kin)."""
        self._do(lambda db: _update(db, number, _described(values)), write=True)
        if number in self._locks or not self._is_held(number):  # who holds it elsewhere writes it with what comes next
            with self._lock:
                if self._folder(number).is_dir():
                    self._write_folder(self.open(number))

    def _write_folder(self, record: Record) -> None:
        """Bring what a run's folder tells of it up to date."""
        query = "SELECT name, note, tags FROM runs WHERE number = ?"
        with self._lock, self._told():
            row = self._do(lambda db: db.execute(query, [record.number]).fetchone())
            if row is None:
                raise self._unknown(record.number)
            folders.write(record, self._folder(record.number), row["name"], row["note"], json.loads(row["tags"]))

    def _described_in_folder(self, record: Record) -> dict[str, Any]:
        """A run's name, note and tags as its folder has them, as columns; its first name where there are none."""
        with contextlib.suppress(FolderError):
            found = folders.read(self._folder(record.number))
            if found.created == record.created:
                return _described({"name": found.name, "note": found.note, "tags": found.tags})
        return {"name": record.name}

    def delete(self, number: int) -> None:
        """Take a run out of sight; it can be brought back for a day."""
        if self.open(number).deleted:
            raise StoreError(f"Run {number} is deleted already.")
        if self._is_held(number):
            raise StoreError(f"Run {number} is under way; stop it before it is deleted.")
        self._do(lambda db: _update(db, number, {"deleted": time.time()}), write=True)

    def bring_back(self, number: int) -> None:
        if self.open(number).deleted is None:
            raise StoreError(f"Run {number} is not deleted.")
        self._do(lambda db: _update(db, number, {"deleted": None}), write=True)

    def purge(self) -> None:
        """Remove for good what was deleted more than a day ago, and was found so a day ago: a clock that jumps ahead
        and back takes nothing along. What was deleted later than now, before the clock was set back, was deleted now.
        """
        now, before = time.time(), self.setting(OVERDUE, {})
        query = "SELECT number, deleted FROM runs WHERE deleted IS NOT NULL"
        deleted = {row["number"]: row["deleted"] for row in self._do(lambda db: db.execute(query).fetchall())}
        for number in [number for number, when in deleted.items() if when > now]:
            self._do(lambda db, number=number: _update(db, number, {"deleted": now}), write=True)
        overdue = {}  # since when
        for number in [number for number, when in deleted.items() if when < now - GRACE]:
            known = before.get(str(number), now)
            since = known if deleted[number] <= known <= now else now
            if since < now - GRACE:
                self.remove(number)
            else:
                overdue[str(number)] = since
        if overdue != before:
            self.set_setting(OVERDUE, overdue)

    def remove(self, number: int) -> None:
        """Remove a run for good."""
        self.release(number)
        self._do(lambda db: db.execute("DELETE FROM runs WHERE number = ?", [number]), write=True)
        shutil.rmtree(self._folder(number), ignore_errors=True)

    def set_setting(self, name: str, value: Any) -> None:
        row = [name, json.dumps(value)]
        self._do(lambda db: db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", row), write=True)

    # The database

    def _open_latest(self) -> None:
        """Open the database, or make one; to read, if it cannot be written; a new one beside it, if it is damaged."""
        self._identity, self._file, self.writable = NOWHERE, self.root / "dlcore.db", True
        while self._successor().exists():
            self._file = self._successor()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._open(self._file)
        except (OSError, sqlite3.Error) as error:
            if _damaged(error):
                self._begin_anew(error)
            elif self._file.exists():
                self._open_to_read(error)
            else:
                raise

    def _open(self, file: Path) -> None:
        db = _connect(file, "mode=rwc")
        if _version(db) > len(SCHEMA):
            told = f"{file} has format {_version(db)}, and this dlcore reads up to {len(SCHEMA)}"
            raise StoreError(f"{told}: update dlcore, or let DLCORE_RUNS name another folder.")
        if not os.access(file, os.W_OK):  # SQLite says so only when it comes to writing
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        if _version(db) < len(SCHEMA):
            db.execute("BEGIN IMMEDIATE")
            version = _version(db)  # another process may have been at it, too
            for number, script in enumerate(SCHEMA[version:], version + 1):
                for statement in script.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
            if not version:
                self._lost = [number for number in self._folders() if self.checkpoints(number)]
        db.execute("SELECT count(*) FROM runs").fetchone()  # tells at once when the file is damaged
        self._use(file, db, _connect(file, "mode=rw"))

    def _open_to_read(self, reason: Exception) -> None:
        """A store on a disk that cannot be written."""
        for how in ("mode=ro", "immutable=1"):  # the first sees the latest, but needs files beside the database
            db = _connect(self._file, how)
            with contextlib.suppress(sqlite3.Error):
                if _version(db) == len(SCHEMA):
                    self._use(self._file, db, db)
                    self.writable = False
                    told = f"Runs cannot be kept in {self.root} ({reason}); those that are there can be looked at."
                    self._problem = told
                    return
        raise reason

    def _use(self, file: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        """Go over to a database. The folder is kept open, which tells one that was removed from one that is away."""
        self._disconnect()
        reader.execute("PRAGMA query_only = ON")
        self._connection, self._reader, self._file, self._opened = writer, reader, file, self._opened + 1
        self._identity, self._wal = _identity(file), _identity(_beside(file, "-wal"))
        if hasattr(os, "O_DIRECTORY"):
            if self._folder_open:
                self._folder_open()
            self._descriptor = os.open(self.root, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
            self._folder_open = weakref.finalize(self, os.close, self._descriptor)

    def _disconnect(self) -> None:
        for connection in (self._reader, self._connection):
            if connection:
                connection.close()

    def _begin_anew(self, reason: Exception | str) -> None:
        """Leave a damaged database where it is, since SQLite forbids to move what other processes have open, and go on
        in another one beside it.
        """
        damaged = self._file
        self._open(self._successor())
        self._problem = (
            f"The list of runs in {damaged} is damaged ({reason}) and stays there as it is; a new one has begun in "
            f"{self._file.name} beside it. The checkpoints are untouched."
        )

    def _successor(self) -> Path:
        """The database that takes the place of this one when it is damaged."""
        number = int(self._file.stem.partition("-")[2] or 1)
        return self._file.with_name(f"dlcore-{number + 1}.db")

    def _is_current(self) -> bool:
        """Whether the database that is open is the one that runs are kept in."""
        return _identity(self._file) == self._identity and not (self.writable and self._successor().exists())

    def _follow(self) -> None:
        """Go over to the database that has taken the place of the one that is open, if one has."""
        if self._is_current():
            return
        with self._lock, self._reading:
            found = _identity(self._file)
            if self._is_current():  # another thread was quicker
                return
            if self.writable and self._successor().exists():
                self._begin_anew("as another process found")
            elif found == (*self._identity[:2], True):
                self._begin_anew("it was cut to nothing")
            else:
                self._open_another(found is None)

    def _open_another(self, gone: bool) -> None:
        """Open what is there now, or make it where all was removed. Raises OSError where it is merely away."""
        if gone and self._is_away():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root))
        file, held = self._file, _listed(sorted(self._locks))
        old = _same(_identity(_beside(file, "-wal")), self._wal)
        self._disconnect()  # first: one process must not have two databases open whose files beside them are the same
        if old:  # what is beside it is of the one before, and no part of this one
            for ending in ("-wal", "-shm"):
                _beside(file, ending).unlink(missing_ok=True)
        self._problem, self._lost = "", []
        self._open_latest()
        told = f"The list of runs in {file} was {'removed' if gone else 'replaced'} while it was in use; "
        told += "a new one has begun" if gone else "the one that is there now is shown"
        told += f", and what is under way here (run {held}) is entered again." if held else "."
        self._problem = f"{told} {self._problem}".strip()

    def _is_away(self) -> bool:
        """Whether the folder that was opened is elsewhere, as on a disk that was taken out, rather than removed."""
        if not self._folder_open:  # on Windows, where what is open cannot be removed
            return not self.root.exists()
        known = os.fstat(self._descriptor)
        return self.root.stat().st_dev != known.st_dev if self.root.exists() else known.st_nlink > 0

    def _do(self, function: Callable[[sqlite3.Connection], T], write: bool = False) -> T:
        """Do something with the database, whole or not at all."""
        with self._told():
            if not write:
                self._follow()
                with self._reading:
                    return _whole(self._reader, "BEGIN", function)
            with self._lock:
                while True:
                    self._follow()
                    if not self.writable:
                        raise StoreError(self._problem)
                    result = _whole(self._connection, "BEGIN IMMEDIATE", function)
                    if self._is_current():  # or it went into a file that nobody will find
                        return result

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What goes wrong, as one sentence."""
        file = self._file
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if _damaged(error):
                with contextlib.suppress(OSError, sqlite3.Error), self._lock, self._reading:
                    if self._file == file:  # nobody else has found it yet
                        self._begin_anew(error)
                    raise StoreError(self._problem) from error
            if _busy(error):
                told = f"Another program holds the list of runs in {self._file} ({error})"
                raise StoreError(f"{told}; this goes on as soon as it lets go of it.") from error
            hint = "make room there" if _full(error) else "let DLCORE_RUNS name a folder that can be written"
            raise StoreError(f"Runs cannot be kept in {self.root}: {error}; {hint}.") from error

    def _what_is_lost(self) -> str:
        """A sentence on runs whose checkpoints are of later epochs than the database knows, since these are always
        written after it: as when the file beside it is gone which holds what was written last.
        """
        with self._told():
            kept = {number: self.checkpoints(number) for number in self._folders()}
        rows = self._do(lambda db: db.execute("SELECT number, last_epoch FROM runs WHERE deleted IS NULL").fetchall())
        known = {row["number"]: row["last_epoch"] for row in rows}
        behind = sorted(number for number in known if kept.get(number) and kept[number][0].epoch > known[number])
        if not behind:
            return ""
        runs = f"run{'s' * (len(behind) > 1)} {_listed(behind)}"
        return (
            f"The last that was written into the list of runs {self._file} is lost, for the checkpoints of {runs} are "
            "of later epochs than those in it; Resume goes on from the last epoch in it."
        )

    def _next_number(self, db: sqlite3.Connection) -> int:
        """One that no run ever had, not even of a list that was lost."""
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'runs'").fetchone()
        return max([row["seq"] if row else 0, *self._folders(), *self._locks]) + 1

    def _folders(self) -> list[int]:
        """The numbers that runs' folders have, lowest first."""
        return sorted(int(file.name) for file in self.root.iterdir() if re.fullmatch("[1-9][0-9]{0,17}", file.name))

    def _unknown(self, number: int) -> StoreError:
        return StoreError(f"There is no run {number} in {self.root}.")

    def _under_way(self, number: int) -> StoreError:
        return StoreError(f"Run {number} is under way already, here or in another process.")

    def _folder(self, number: int) -> Path:
        return self.root / str(int(number))

    def _is_held(self, number: int) -> bool:
        """Whether some process trains a run."""
        if number in self._locks:
            return True
        file = self._folder(number) / "lock"
        try:
            if fcntl:
                with file.open("rb") as lock:  # shared with all who look, or they would take each other for its holder
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            else:
                with self._looking(), FileLock(file, timeout=0):
                    pass
        except (BlockingIOError, Timeout):
            return True
        except OSError:
            return False  # nobody ever held it, or nobody can
        return False

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        """Where who looks at a lock has to take it, one does so at a time: whoever else has it is the run's holder."""
        if fcntl:
            yield
        else:
            with FileLock(self.root / "looking.lock", poll_interval=0.005):
                yield

    def _status(self, row: sqlite3.Row) -> str:
        return "interrupted" if row["status"] in ACTIVE and not self._is_held(row["number"]) else row["status"]

    def _summary(self, row: sqlite3.Row) -> dict:
        changed = {"status": self._status(row), "tags": json.loads(row["tags"]), "epochs": int(row["epochs"] or 0)}
        return dict(row) | changed

    def _stored(self, row: sqlite3.Row, history: History) -> Stored:
        try:
            return self._record(row, parse(Recipe, row["recipe"]), history)
        except SettingsError as error:
            raise StoreError(f"Run {row['number']} cannot be read: {error}") from error

    def _record(self, row: sqlite3.Row, recipe: Recipe, history: History) -> Stored:
        branched = row["parent"] is not None
        return Stored(
            number=row["number"],
            name=row["name"],
            first_recipe=recipe,
            history=history,
            reason=row["reason"],
            failure=Failure(**json.loads(row["failure"])) if row["failure"] else None,
            race=row["race"],
            branch=Branch(row["parent"], row["parent_epoch"], row["parent_step"]) if branched else None,
            steps_per_epoch=row["steps_per_epoch"],
            offset=row["offset"],
            created=row["created"],
            status=self._status(row),
            elapsed=row["elapsed"],
            stepping=row["stepping"],
            note=row["note"],
            tags=tuple(json.loads(row["tags"])),
            environment=json.loads(row["environment"]),
            parent_name=row["parent_name"] or "",
            size=row["size"],
            rewinds=row["rewinds"],
            deleted=row["deleted"],
        )


def _connect(file: Path, how: str) -> sqlite3.Connection:
    uri = f"{file.as_uri()}?{how}"
    db = sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _whole(db: sqlite3.Connection, begin: str, function: Callable[[sqlite3.Connection], T]) -> T:
    db.execute(begin)
    try:
        result = function(db)
        db.execute("COMMIT")
        return result
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _identity(file: Path) -> tuple[int, int, bool] | None:
    """Which file on a disk is at a place, and whether it is empty; None when there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, not found.st_size


def _same(one: tuple | None, other: tuple | None) -> bool:
    """Whether two identities are of one file, which may have been written since."""
    return bool(one and other) and one[:2] == other[:2]


def _beside(file: Path, ending: str) -> Path:
    """What SQLite keeps beside a database."""
    return file.with_name(file.name + ending)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _damaged(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _full(error: Exception) -> bool:
    return "full" in str(error) or "space" in str(error) or "too large" in str(error)


def _create(db: sqlite3.Connection, record: Record, number: int) -> int:
    values = _columns(record) | {
        "number": number,
        "format": FORMAT,
        "name": record.name,
        "recipe": record.first_recipe.model_dump_json(),
        "environment": json.dumps(environment(record.first_recipe.device)),
        "created": record.created,
        "parent": record.branch.parent if record.branch else None,
        "parent_epoch": record.branch.epoch if record.branch else None,
        "parent_step": record.branch.step if record.branch else None,
    }
    return db.execute(_insert("runs", values), list(values.values())).lastrowid


def _columns(record: Record) -> dict[str, Any]:
    """What changes while a run trains."""
    return {
        "status": record.status,
        "race": record.race,
        "reason": record.reason,
        "failure": json.dumps(asdict(record.failure)) if record.failure else None,
        "steps": record.history.steps,
        "steps_per_epoch": record.steps_per_epoch,
        "offset": record.offset,
        "elapsed": record.elapsed,
        "stepping": record.stepping,
        "last_epoch": record.history.epochs[-1].epoch if record.history.epochs else 0,
        "best_epoch": record.history.best.epoch if record.history.best else 0,
    }


def _described(values: dict[str, Any]) -> dict[str, Any]:
    """Name, note and tags as columns."""
    return values | ({"tags": json.dumps(values["tags"])} if "tags" in values else {})


def _insert(table: str, values: dict) -> str:
    names = ", ".join(f'"{name}"' for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})"


def _update(db: sqlite3.Connection, number: int, values: dict) -> None:
    names = ", ".join(f'"{name}" = ?' for name in values)
    db.execute(f"UPDATE runs SET {names} WHERE number = ?", [*values.values(), number])


def _steps(db: sqlite3.Connection, number: int) -> int:
    """How many losses are saved."""
    last = 'SELECT "first" + length("values") / 4 AS steps FROM losses WHERE run = ? ORDER BY "first" DESC LIMIT 1'
    row = db.execute(last, [number]).fetchone()
    return row["steps"] if row else 0


def _save_losses(db: sqlite3.Connection, number: int, losses: np.ndarray) -> None:
    known = _steps(db, number)
    if len(losses) > known:
        blob = losses[known:].astype("<f4").tobytes()
        db.execute("INSERT INTO losses VALUES (?, ?, ?)", [number, known, blob])


def _losses(db: sqlite3.Connection, number: int, start: int) -> np.ndarray:
    """From a step on, float32."""
    query = (
        'SELECT "first", "values" FROM losses WHERE run = :run AND "first" >= coalesce((SELECT max("first") '
        'FROM losses WHERE run = :run AND "first" <= :start), 0) ORDER BY "first"'
    )
    rows = db.execute(query, {"run": number, "start": start}).fetchall()
    found = np.frombuffer(b"".join(row["values"] for row in rows), "<f4")
    return found[start - rows[0]["first"] :] if rows else found


def _read_on(db: sqlite3.Connection, number: int, history: History) -> None:
    """Add to a history what was saved since it was read."""
    last = history.epochs[-1].epoch if history.epochs else 0
    rows = db.execute("SELECT * FROM epochs WHERE run = ? AND epoch > ? ORDER BY epoch", [number, last])
    changes = db.execute("SELECT step, setting, value FROM changes WHERE run = ? ORDER BY step, setting", [number])
    history.changes = [Change(row["step"], row["setting"], json.loads(row["value"])) for row in changes]
    history.extend(_losses(db, number, history.steps), [_epoch(row) for row in rows])


def _epoch(row: sqlite3.Row) -> Epoch:
    values = dict(row)
    del values["run"]
    for name in ("train_loss", "val_loss"):  # SQLite keeps what is not a number as nothing
        values[name] = math.nan if values[name] is None else values[name]
    return Epoch(**values)
