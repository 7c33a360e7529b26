"""The store: every run on disk, below one folder.

    runs/dlcore.db       SQLite: all that is known and was measured of runs (dlcore-2.db, …, once one was found damaged)
    runs/12/             what belongs to run 12: checkpoints, film, lock, and what it is (`folder`, `reels`, `manifest`)

What a run measures has one writer, which holds its lock; a person's words (name, note, tags), groups and commands are
anyone's to write, and any number of processes read. A lock ends with its process, however that ended: a run that was
under way and whose lock nobody holds was interrupted. What is written is committed whole, metrics before the checkpoint
that goes with them, so that a checkpoint never knows more than the history.

The folder and the database may be replaced at any time, as by a backup: what is at their place then is used, and the
runs that are held are entered there again, whole.
"""

import contextlib
import json
import shutil
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dlcore.recipe import Recipe
from dlcore.runs import checkpoints, commands, folder, groups, importing, manifest, reels, retention, rows
from dlcore.runs.checkpoints import Checkpoint, CheckpointError
from dlcore.runs.commands import Command, Request
from dlcore.runs.database import Database, StoreError, listed
from dlcore.runs.film import Film
from dlcore.runs.folder import Kept, runs_root
from dlcore.runs.groups import Group, Kind
from dlcore.runs.importing import Unlisted
from dlcore.runs.locks import Locks
from dlcore.runs.records import ACTIVE, Record, Status, Stored
from dlcore.runs.reels import Shelf

T = TypeVar("T")
IMPORT = "The Runs page offers to enter them again; on the command line, python -m dlcore runs tells of them."


class Store:
    """The runs below a folder. Safe to use from any thread; methods raise StoreError."""

    def __init__(self, root: Path | None = None):
        """Opens the store, or makes it. One that cannot be written is opened to read (`problem` says why); raises
        StoreError when that cannot be either. A damaged database is left as it is, and a new one begun (`problem`).
        """
        self.root = (root or runs_root()).absolute()
        self._locks = Locks(self.root)
        self.database = Database(self.root, self._locks)
        if self.writable:
            try:
                self.database.problem = f"{self.database.problem} {self.database.what_is_lost()}".strip()
                self.purge()
            except StoreError as error:  # whoever starts later will do it
                self.database.problem = self.database.problem or str(error)

    def close(self) -> None:
        with self.database.lock:
            for number in self._locks:
                self.release(number)
            self.database.close()

    @property
    def writable(self) -> bool:
        return self.database.writable

    @property
    def problem(self) -> str:
        """What is wrong with the store, or has happened to it, for people; empty when nothing is."""
        database = self.database
        with contextlib.suppress(StoreError):  # one that cannot be read now says so to whoever reads it
            left = [one.number for one in self.unlisted() if one.number in database.lost] if database.lost else []
            if left:
                begun = database.problem or f"{database.file} held no list of runs: a new one has begun."
                return f"{begun} There are folders of runs that are not in it ({listed(left)}). {IMPORT}"
        return database.problem

    def dismiss(self, problem: str) -> None:
        """A person has read it. What still holds stays, and so does what is new since."""
        if self.writable and self.problem == problem:
            self.database.problem, self.database.lost = "", []

    # Reading

    def rows(self, deleted: bool = False) -> list[dict]:
        """A row a run, newest first: what a table of runs shows."""
        return self._summaries(f"deleted IS {'NOT ' if deleted else ''}NULL ORDER BY number DESC")

    def interrupted(self, most: int) -> list[dict]:
        """The newest runs whose process ended while it trained them, as `rows` gives them."""
        under_way = ", ".join(f"'{status}'" for status in ACTIVE)
        newest = self._summaries(f"deleted IS NULL AND status IN ({under_way}) ORDER BY number DESC LIMIT 20")
        return [row for row in newest if row["status"] == "interrupted"][:most]

    def _summaries(self, which: str) -> list[dict]:
        query = f"{rows.SUMMARY} WHERE {which}"
        return [rows.summary(row, self._status(row)) for row in self.database.read(lambda db: _all(db, query))]

    def numbers(self) -> list[int]:
        """Of all runs that are not deleted, oldest first."""
        query = "SELECT number FROM runs WHERE deleted IS NULL ORDER BY number"
        return [row["number"] for row in self.database.read(lambda db: _all(db, query))]

    def next_number(self) -> int:
        """Of the next run, unless another process enters one before."""
        return self.database.read(self._next_number)

    def race(self, race: int | None = None) -> list[int]:
        """The runs of a race that are not deleted, first to last; those of the newest one unless another is named."""
        return self.database.read(lambda db: groups.contestants(db, race))

    def groups(self, kind: Kind | None = None) -> list[Group]:
        """Newest first; those of one kind, if it is named."""
        return self.database.read(lambda db: groups.read_all(db, kind))

    def group(self, number: int) -> Group:
        group = self.database.read(lambda db: groups.read(db, number))
        if group is None:
            raise StoreError(f"There is no group {number} in {self.root}.")
        return group

    def members(self, number: int) -> list[int]:
        """The runs of a group that are not deleted, first to last."""
        return self.database.read(lambda db: groups.members(db, number))

    def open(self, number: int, before: Stored | None = None) -> Stored:
        """A run with its history. `before`, if given, is that run as it was read earlier: only what is new is read, and
        added to its history.
        """

        def read(db: sqlite3.Connection) -> Stored:
            row = rows.run(db, number)
            if row is None:
                raise self._unknown(number)
            return rows.stored(row, rows.history(db, row, before), self._status(row))

        return self.database.read(read)

    def checkpoints(self, number: int) -> list[Kept]:
        """A run's checkpoints on disk, latest first."""
        with self.database.translate_errors():
            return folder.checkpoints(self._folder(number))

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
                    told = f"The checkpoint of epoch {epoch} of run {number} cannot be used: {error}."
                    raise StoreError(told) from error
        has = ", ".join(map(str, self.epochs_kept(number))) or "none"
        raise StoreError(f"Run {number} has no checkpoint of epoch {epoch}; it has those of epochs: {has}.")

    def latest(self, run: Stored) -> tuple[Checkpoint | None, list[str]]:
        """The latest checkpoint that a run can go on from, or None; and a sentence on every one passed over."""
        with self.database.translate_errors():
            return folder.latest(self._folder(run.number), run)

    def film(self, number: int, run: Stored | None = None) -> Film:
        """A run's frames, which are read when they are asked for; `run`, if given, is that run as it was read."""
        run, path = run or self.open(number), self._folder(number)
        with self.database.translate_errors():
            filed = tuple(epoch for epoch in reels.epochs(path) if epoch <= len(run.history.epochs))
        return Film(start=run.branch.epoch if run.branch else 0, filed=filed, shelf=Shelf(path, run.first_recipe))

    def unlisted(self) -> list[Unlisted]:
        """Folders of runs, with checkpoints, that the list of runs does not know, as when it was lost; oldest first."""
        with self.database.translate_errors():
            numbers = folder.numbers(self.root)
            entered = {row["number"] for row in self.database.read(lambda db: _all(db, "SELECT number FROM runs"))}
            left = [importing.unlisted(self._folder(number)) for number in numbers if number not in entered]
        return [one for one in left if one and not self._is_held(one.number)]  # or its holder is about to enter it

    def setting(self, name: str, default: T) -> T:
        """Something that a person has set for this store."""
        query = "SELECT value FROM settings WHERE name = ?"
        row = self.database.read(lambda db: db.execute(query, [name]).fetchone())
        return json.loads(row["value"]) if row else default

    # Writing

    def create(self, record: Record) -> int:
        """Enter a run, and give it a number."""
        return self.database.write(lambda db: rows.create(db, record, self._next_number(db)))

    def create_group(self, kind: Kind, name: str, settings: Mapping[str, Any], parent: int | None = None) -> int:
        """Enter a group, which runs can `join`; its number, which no run gets. Races make theirs themselves."""
        return self.database.write(lambda db: groups.create(db, self._next_number(db), kind, name, settings, parent))

    def describe_group(self, number: int, **values: Any) -> None:
        """Set a group's kind, name, settings or parent; a race's, too, which is not saved yet."""
        self.database.write(lambda db: groups.describe(db, number, values))

    def join(self, group: int, runs: Sequence[int]) -> None:
        """Make runs members of a group, and of no other."""
        self.database.write(lambda db: groups.join(db, group, runs))

    def take_in(self, number: int, recipe: Recipe | None = None) -> list[str]:
        """Enter the run of an unlisted folder, so that it can go on from its last checkpoint; `recipe` where the folder
        tells none. Returns a sentence on every checkpoint passed over.
        """
        if number not in (one.number for one in self.unlisted()):
            told = f"{self.root} has no such folder with checkpoints of a run that is not in the list already"
            raise StoreError(f"Run {number} cannot be imported: {told}.")
        path = self._folder(number)
        with self.database.translate_errors():
            run, passed = importing.recover(path, recipe)
        self.save(run)
        with self.database.translate_errors():
            values = {"note": run.note, "size": folder.size(path)}
        self.database.write(lambda db: rows.update(db, number, values))
        return passed

    def save(self, record: Record, found: Sequence[Checkpoint] = ()) -> None:
        """Bring a run whose lock this store holds up to date; what was saved before is not written again, unless it was
        saved elsewhere: into a database, or a folder, that another one has taken the place of.
        """
        values = rows.columns(record)  # the status first: what follows is at least as new
        number = record.number
        # A run that is over has its last checkpoint, whenever this is broken off.
        late = ("status", "reason", "failure") if found and values["status"] not in ACTIVE else ()
        last = {name: values.pop(name) for name in late}
        again = self._hold_again(number)
        with self.database.translate_errors():
            where = self._locks.where(number, self.database.opened)
        path = self._folder(number)
        self.database.write(lambda db: rows.save(db, record, values, again, lambda: manifest.words(path, record)))
        if number in self._locks:
            self._write_manifest(record)
        with self.database.translate_errors():  # takes its time, so nobody is locked out
            begun = record.film and (found or len(record.film) > 1)  # until then, the start is made again
            filmed = begun and reels.save(path, record.film.epochs, record.film.held, again)
            if found or again:
                self._save_checkpoints(record, found) if found else self._locks.restore_latest(number)
            last |= {"size": folder.size(path)} if found or again or filmed else {}
        if last:
            self.database.write(lambda db: rows.update(db, number, last))
        with self.database.lock, self.database.translate_errors():
            if not self._locks.is_saved(number, where, self.database.opened):
                raise StoreError(f"{self.root} was replaced while run {number} was saved into it.")

    def _save_checkpoints(self, record: Record, found: Sequence[Checkpoint]) -> None:
        """Write them, and remove those that are not worth keeping."""
        path = self._folder(record.number)
        for checkpoint in found:
            file = folder.file_of(path, checkpoint)
            if file.is_dir():
                self.database.problem = folder.set_aside(file)
            checkpoints.write(checkpoint, file)
        self._locks.keep_open(record.number, file)
        folder.prune(path, record, found[-1].size)

    def rewind(self, number: int, step: int, place: tuple[int, int]) -> None:
        """Forget what was measured after a step, and what is kept of later places (whole epochs, steps of the next)."""
        self.database.write(lambda db: rows.rewind(db, number, step))
        with self.database.translate_errors():
            folder.remove_after(self._folder(number), place)

    def hold(self, number: int) -> None:
        """Become the one that writes a run. Raises StoreError when another process, or another part of this one, is."""
        self._check_entered(number)
        with self.database.lock, self.database.translate_errors():
            if not self._locks.acquire(number, self.database.opened):
                raise self._under_way(number)
        try:
            self.database.write(lambda db: commands.answer_all(db, number))
        except StoreError:
            self.release(number)
            raise

    def _hold_again(self, number: int) -> bool:
        """Whether a run that is held has to be saved whole, for it was saved elsewhere; then its lock is held there."""
        with self.database.lock, self.database.translate_errors():
            self.database.follow()
            elsewhere = self._locks.follow(number, self.database.opened)
            if elsewhere is None:
                raise self._under_way(number)
            return elsewhere

    def release(self, number: int) -> None:
        self._locks.release(number)

    def _check_entered(self, number: int) -> None:
        if not self.database.read(lambda db: db.execute("SELECT 1 FROM runs WHERE number = ?", [number]).fetchone()):
            raise self._unknown(number)

    # What one process asks of a run that another one trains

    def ask_run(self, run: int, command: Command, value: Any = None) -> int:
        """Ask whoever trains a run to pause, say; the id under which `answer_of` tells how it went. `value`: as
        `commands.Request` has it. Raises SettingsError for what cannot be asked.
        """
        text = commands.checked(command, value)
        self._check_entered(run)
        if not self._is_held(run):
            told = f"Run {run} is not under way, so nobody is there to {command} it"
            raise StoreError(f"{told}; let it go on first (python -m dlcore resume {run}, or Resume on the Runs page).")
        return self.database.write(lambda db: commands.ask(db, run, command, text))

    def commands(self, run: int) -> list[Request]:
        """What was asked of a run and has no answer yet, in order; what this dlcore cannot obey is answered here."""
        requests, refused = self.database.read(lambda db: commands.waiting(db, run))
        for id, sentence in refused.items():
            self.answer(id, sentence)
        return requests

    def answer(self, id: int, sentence: str = "") -> None:
        """Say that a command was carried out or, in a sentence, why it was not."""
        self.database.write(lambda db: commands.answer(db, id, sentence))

    def answer_of(self, id: int) -> str | None:
        """None until there is one; empty when the command was carried out."""
        row = self.database.read(lambda db: commands.read(db, id))
        if row and row["answer"] is None and not self._is_held(row["run"]):
            # Again, for it may have been answered just before the end.
            row = self.database.read(lambda db: commands.read(db, id, commands.UNHEARD))
        if row is None:
            raise StoreError(f"There is no command {id}; commands are kept for a day.")
        return row["answer"]

    # A person's words, and the end

    def describe(self, number: int, **values: Any) -> None:
        """Set a run's name, note or tags, which are checked already (`records.checked_name` and its kin)."""
        self.database.write(lambda db: rows.update(db, number, rows.described(values)))
        if number in self._locks or not self._is_held(number):  # who holds it elsewhere writes it with what comes next
            with self.database.lock:
                if self._folder(number).is_dir():
                    self._write_manifest(self.open(number))

    def _write_manifest(self, record: Record) -> None:
        """Bring what a run's folder tells of it up to date."""
        query = "SELECT name, note, tags FROM runs WHERE number = ?"
        with self.database.lock, self.database.translate_errors():
            row = self.database.read(lambda db: db.execute(query, [record.number]).fetchone())
            if row is None:
                raise self._unknown(record.number)
            manifest.write(record, self._folder(record.number), row["name"], row["note"], json.loads(row["tags"]))

    def delete(self, number: int) -> None:
        """Take a run out of sight; it can be brought back for a day."""
        if self.open(number).deleted:
            raise StoreError(f"Run {number} is deleted already.")
        if self._is_held(number):
            raise StoreError(f"Run {number} is under way; stop it before it is deleted.")
        self.database.write(lambda db: rows.update(db, number, {"deleted": time.time()}))

    def bring_back(self, number: int) -> None:
        if self.open(number).deleted is None:
            raise StoreError(f"Run {number} is not deleted.")
        self.database.write(lambda db: rows.update(db, number, {"deleted": None}))

    def purge(self) -> None:
        """Remove for good what was deleted long enough ago (`retention`)."""
        query = "SELECT 1 FROM runs WHERE deleted IS NOT NULL"
        if self.database.read(lambda db: db.execute(query).fetchone()):  # or a start would wait for those who write
            for number in self.database.write(lambda db: retention.overdue(db, time.time())):
                self.remove(number)

    def remove(self, number: int) -> None:
        """Remove a run for good."""
        self.release(number)
        self.database.write(lambda db: rows.remove(db, number))
        shutil.rmtree(self._folder(number), ignore_errors=True)

    def set_setting(self, name: str, value: Any) -> None:
        row = [name, json.dumps(value)]
        self.database.write(lambda db: db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", row))

    def _next_number(self, db: sqlite3.Connection) -> int:
        """One that no run and no group ever had, not even of a list that was lost."""
        row = db.execute("SELECT max(seq) AS seq FROM sqlite_sequence WHERE name IN ('runs', 'groups')").fetchone()
        return max([row["seq"] or 0, *folder.numbers(self.root), *self._locks]) + 1

    def _unknown(self, number: int) -> StoreError:
        return StoreError(f"There is no run {number} in {self.root}.")

    def _under_way(self, number: int) -> StoreError:
        return StoreError(f"Run {number} is under way already, here or in another process.")

    def _folder(self, number: int) -> Path:
        return self.root / str(int(number))

    def _is_held(self, number: int) -> bool:
        """Whether some process trains a run."""
        return number in self._locks or folder.is_locked(self._folder(number))

    def _status(self, row: sqlite3.Row) -> Status:
        return "interrupted" if row["status"] in ACTIVE and not self._is_held(row["number"]) else row["status"]


def _all(db: sqlite3.Connection, query: str) -> list[sqlite3.Row]:
    return db.execute(query).fetchall()
