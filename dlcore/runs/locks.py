"""Locks: the runs that this process writes, each held by the lock in its folder, so that nobody else does."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from filelock import FileLock

from dlcore.runs import checkpoints, folder


class Held(NamedTuple):
    """A run that is written here."""

    lock: FileLock
    where: tuple  # the database, of those that were opened, that has the whole of the run; and its lock's file
    latest: tuple[Path, BinaryIO] | None = None  # its last checkpoint, open, so that it can be read once it is removed


class Locks:
    """The runs that are held, by number. Safe to use from any thread; methods raise OSError."""

    def __init__(self, root: Path):
        self._root = root
        self._held: dict[int, Held] = {}
        self._changing = threading.RLock()

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, number: object) -> bool:
        return number in self._held

    def acquire(self, number: int, opened: int) -> bool:
        """Hold a run, which the database has that was `opened` as that one; False when it is held already, wherever."""
        with self._changing:
            lock = None if number in self._held else folder.lock(self._folder(number))
            if lock:
                self._held[number] = Held(lock, self.where(number, opened))
            return lock is not None

    def follow(self, number: int, opened: int) -> bool | None:
        """Whether a run that is held was saved elsewhere, into another database or folder; then its lock is held in the
        folder that is there now. None when somebody else has that one.
        """
        with self._changing:
            held = self._held.get(number)
            if held is None or held.where == self.where(number, opened):
                return False
            if held.where[1] != self.where(number, opened)[1]:
                held.lock.release()
                lock = folder.lock(self._folder(number))
                if lock is None:
                    return None
                self._held[number] = held._replace(lock=lock)
            return True

    def is_saved(self, number: int, where: tuple, opened: int) -> bool:
        """Note where the whole of a run was saved, if it is held; False when its folder was replaced meanwhile."""
        with self._changing:
            if number in self._held:
                if self.where(number, opened) != where:
                    return False
                self._held[number] = self._held[number]._replace(where=where)
            return True

    def where(self, number: int, opened: int) -> tuple:
        return opened, folder.file_identity(self._folder(number) / "lock")

    def release(self, number: int) -> None:
        with self._changing:
            self.keep_open(number, None)
            if held := self._held.pop(number, None):
                held.lock.release()

    def keep_open(self, number: int, file: Path | None) -> None:
        """Keep a held run's last checkpoint open, in place of the one before."""
        with self._changing:
            if held := self._held.get(number):
                if held.latest:
                    held.latest[1].close()
                self._held[number] = held._replace(latest=(file, file.open("rb")) if file else None)

    def restore_latest(self, number: int) -> None:
        """Write the last checkpoint of a run that is held into the folder that took the place of its own."""
        if latest := self._held[number].latest:
            file, stream = latest
            if not (file.is_file() and os.path.samestat(file.stat(), os.fstat(stream.fileno()))):
                stream.seek(0)
                checkpoints.copy(stream, file)
                self.keep_open(number, file)

    def _folder(self, number: int) -> Path:
        return self._root / str(int(number))
