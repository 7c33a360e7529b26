"""The database in which runs are kept: an SQLite file below a folder, read and written in whole transactions.

It may be replaced at any time, as by a backup: what is at its place then is used. One that is damaged stays where it is
and another one begins beside it (dlcore-2.db after dlcore.db, and so on); one that cannot be written is read.
"""

import contextlib
import errno
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from dlcore.runs import folder
from dlcore.runs.schema import SCHEMA

T = TypeVar("T")
NOWHERE = (0, 0, True)  # no file that is open
WAIT = 10.0  # seconds that another process may hold the database


class StoreError(Exception):
    """The store cannot do this; the text is one sentence for people."""


class Database:
    """The list of runs below a folder. Safe to use from any thread; methods raise StoreError."""

    def __init__(self, root: Path, held: Collection[int]):
        """Opens the database, or makes it. `held`: the runs that train here, as they are at any time, for the words on
        what becomes of them.
        """
        self.root, self._held = root, held
        self.problem = ""  # what is wrong, or has happened, for people
        self.lost: list[int] = []  # runs whose folders were there when a new list of runs was begun
        self.writable = True
        self.file = root / "dlcore.db"
        self.opened = 0  # how many databases were
        self.lock = threading.RLock()  # of those who write
        self._reading = threading.RLock()  # of those who read, on a connection of their own: they wait for no writer
        self._connection = self._reader = self._folder_open = None
        with self.translate_errors():
            self._open_latest()

    def close(self) -> None:
        with self.lock, self._reading:
            self._disconnect()
            if self._folder_open:
                self._folder_open()

    def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """What a function makes of the database as it is at one moment."""
        with self.translate_errors():
            self.follow()
            with self._reading:
                return _transaction(self._reader, "BEGIN", function)

    def write(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Let a function change the database, whole or not at all. It is called again where the database was replaced
        meanwhile, and so must change nothing else.
        """
        with self.translate_errors(), self.lock:
            while True:
                self.follow()
                if not self.writable:
                    raise StoreError(self.problem)
                result = _transaction(self._connection, "BEGIN IMMEDIATE", function)
                if self._is_current():  # or it went into a file that nobody will find
                    return result

    def follow(self) -> None:
        """Go over to the database that has taken the place of the one that is open, if one has."""
        if self._is_current():
            return
        with self.lock, self._reading:
            identity = folder.file_identity(self.file)
            if self._is_current():  # another thread was quicker
                return
            if self.writable and self._successor().exists():
                self._begin_anew("as another process found")
            elif identity == (*self._identity[:2], True):
                self._begin_anew("it was cut to nothing")
            else:
                self._open_another(identity is None)

    @contextlib.contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise what goes wrong with a file or the database as a StoreError."""
        file = self.file
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if _is_damage(error):
                with contextlib.suppress(OSError, sqlite3.Error), self.lock, self._reading:
                    if self.file == file:  # no other thread has met it yet
                        self._begin_anew(error)
                    raise StoreError(self.problem) from error
            if _is_busy(error):
                told = f"Another program holds the list of runs in {self.file} ({error})"
                raise StoreError(f"{told}; this goes on as soon as it lets go of it.") from error
            hint = "make room there" if _is_full(error) else "let DLCORE_RUNS name a folder that can be written"
            raise StoreError(f"Runs cannot be kept in {self.root}: {error}; {hint}.") from error

    def what_is_lost(self) -> str:
        """A sentence on runs whose checkpoints are of later epochs than the database knows, since these are always
        written after it: as when the file beside it is gone which holds what was written last.
        """
        query = "SELECT number, last_epoch FROM runs WHERE deleted IS NULL ORDER BY number"
        with self.translate_errors():
            folders = set(folder.numbers(self.root))
            rows = [row for row in self.read(lambda db: db.execute(query).fetchall()) if row["number"] in folders]
            kept = {row["number"]: folder.checkpoints(self.root / str(row["number"])) for row in rows}
        ahead = {number: checkpoints[0].epoch for number, checkpoints in kept.items() if checkpoints}
        behind = [row["number"] for row in rows if ahead.get(row["number"], 0) > row["last_epoch"]]
        if not behind:
            return ""
        runs = f"run{'s' * (len(behind) > 1)} {listed(behind)}"
        return (
            f"The last that was written into the list of runs {self.file} is lost, for the checkpoints of {runs} are "
            "of later epochs than those in it; Resume goes on from the last epoch in it."
        )

    # Opening

    def _open_latest(self) -> None:
        """Open the database, or make one; to read, if it cannot be written; a new one beside it, if it is damaged."""
        self._identity, self.file, self.writable = NOWHERE, self.root / "dlcore.db", True
        while self._successor().exists():
            self.file = self._successor()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._open(self.file)
        except (OSError, sqlite3.Error) as error:
            if _is_damage(error):
                self._begin_anew(error)
            elif self.file.exists():
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
        if not self.opened and 0 < _version(db) < len(SCHEMA):
            self._check_upgrade()
        _use_wal(db)
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        if _version(db) < len(SCHEMA) and not _upgrade(db):
            self.lost = [number for number in folder.numbers(self.root) if folder.checkpoints(self.root / str(number))]
        db.execute("SELECT count(*) FROM runs").fetchone()  # tells at once when the file is damaged
        self._use(file, db, _connect(file, "mode=rw"))

    def _check_upgrade(self) -> None:
        """Raises StoreError when an older dlcore is at work, which could not save what it trains from then on."""
        if held := [number for number in folder.numbers(self.root) if folder.is_locked(self.root / str(number))]:
            told = f"An older dlcore trains run {listed(held)} in {self.root}, whose list of runs this one has to bring"
            raise StoreError(f"{told} up to date: wait until it is over, or stop it there.")

    def _open_to_read(self, reason: Exception) -> None:
        """A store on a disk that cannot be written."""
        for how in ("mode=ro", "immutable=1"):  # the first sees the latest, but needs files beside the database
            db = _connect(self.file, how)
            with contextlib.suppress(sqlite3.Error):
                if 0 < _version(db) < len(SCHEMA):
                    db = _upgraded_copy(db)
                if _version(db) == len(SCHEMA):
                    self._use(self.file, db, db)
                    self.writable = False
                    told = f"Runs cannot be kept in {self.root} ({reason}); those that are there can be looked at."
                    self.problem = told
                    return
        raise reason

    def _use(self, file: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        """Go over to a database. The folder is kept open, which tells one that was removed from one that is away."""
        self._disconnect()
        reader.execute("PRAGMA query_only = ON")
        self._connection, self._reader, self.file, self.opened = writer, reader, file, self.opened + 1
        self._identity, self._wal = folder.file_identity(file), folder.file_identity(_beside(file, "-wal"))
        if hasattr(os, "O_DIRECTORY"):
            if self._folder_open:
                self._folder_open()
            self._descriptor = os.open(self.root, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY)
            self._folder_open = weakref.finalize(self, os.close, self._descriptor)

    def _disconnect(self) -> None:
        for connection in (self._reader, self._connection):
            if connection:
                connection.close()

    # When it is damaged or replaced

    def _begin_anew(self, reason: Exception | str) -> None:
        """Leave a damaged database where it is, since SQLite forbids to move what other processes have open, and go on
        in another one beside it.
        """
        damaged = self.file
        self._open(self._successor())
        self.problem = (
            f"The list of runs in {damaged} is damaged ({reason}) and stays there as it is; a new one has begun in "
            f"{self.file.name} beside it. The checkpoints are untouched."
        )

    def _successor(self) -> Path:
        """The database that takes the place of this one when it is damaged."""
        number = int(self.file.stem.partition("-")[2] or 1)
        return self.file.with_name(f"dlcore-{number + 1}.db")

    def _is_current(self) -> bool:
        """Whether the database that is open is the one that runs are kept in."""
        return folder.file_identity(self.file) == self._identity and not (self.writable and self._successor().exists())

    def _open_another(self, gone: bool) -> None:
        """Open what is there now, or make it where all was removed. Raises OSError where it is merely away."""
        if gone and self._is_away():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.root))
        file, held = self.file, listed(sorted(self._held))
        old = _same_file(folder.file_identity(_beside(file, "-wal")), self._wal)
        self._disconnect()  # first: one process must not have two databases open whose files beside them are the same
        if old:  # what is beside it is of the one before, and no part of this one
            for ending in ("-wal", "-shm"):
                _beside(file, ending).unlink(missing_ok=True)
        self.problem, self.lost = "", []
        self._open_latest()
        told = f"The list of runs in {file} was {'removed' if gone else 'replaced'} while it was in use; "
        told += "a new one has begun" if gone else "the one that is there now is shown"
        told += f", and what is under way here (run {held}) is entered again." if held else "."
        self.problem = f"{told} {self.problem}".strip()

    def _is_away(self) -> bool:
        """Whether the folder that was opened is elsewhere, as on a disk that was taken out, rather than removed."""
        if not self._folder_open:  # on Windows, where what is open cannot be removed
            return not self.root.exists()
        opened = os.fstat(self._descriptor)
        return self.root.stat().st_dev != opened.st_dev if self.root.exists() else opened.st_nlink > 0


def _connect(file: Path, how: str) -> sqlite3.Connection:
    return _connect_to(f"{file.as_uri()}?{how}")


def _connect_to(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Go over to a write-ahead log. SQLite does not wait by itself for another process that does the same just then."""
    end = time.monotonic() + WAIT
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


def _upgrade(db: sqlite3.Connection) -> int:
    """Bring a database to the last version, whole or not at all; the version that it had, 0 for a new one."""
    db.execute("BEGIN IMMEDIATE")
    version = _version(db)  # another process may have been at it, too
    for number, script in enumerate(SCHEMA[version:], version + 1):
        for statement in script.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")
    db.execute("COMMIT")
    return version


def _upgraded_copy(db: sqlite3.Connection) -> sqlite3.Connection:
    """The same in memory, at the last version: for a database that cannot be written."""
    with contextlib.closing(db):
        copy = _connect_to("file::memory:")
        db.backup(copy)
    _upgrade(copy)
    return copy


def _transaction(db: sqlite3.Connection, begin: str, function: Callable[[sqlite3.Connection], T]) -> T:
    db.execute(begin)
    try:
        result = function(db)
        db.execute("COMMIT")
        return result
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _same_file(one: tuple | None, other: tuple | None) -> bool:
    """Whether two identities are of one file, which may have been written since."""
    return bool(one and other) and one[:2] == other[:2]


def _beside(file: Path, ending: str) -> Path:
    """What SQLite keeps beside a database."""
    return file.with_name(file.name + ending)


def listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def _is_damage(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _is_full(error: Exception) -> bool:
    return "full" in str(error) or "space" in str(error) or "too large" in str(error)
