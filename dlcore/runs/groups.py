"""Groups: runs that belong together, as the contestants of a race, or one recipe with several seeds.

Groups and runs are numbered in one sequence, so that a number names one thing: a run, or a group that it was given to
before any run. A race that began without a group has the number of its first run. All functions work within a
transaction.
"""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dlcore.runs.database import StoreError
from dlcore.runs.records import Record

Kind = Literal["race", "tries", "seeds", "folds", "sweep"]  # tries: of one contestant's learning rates, before a race


@dataclass(frozen=True)
class Group:
    """Runs that belong together."""

    number: int
    kind: Kind
    name: str
    settings: dict[str, Any]  # its own, as JSON has them
    created: float  # seconds since 1970
    parent: int | None  # the group that it is part of, as tries are of a race


def create(
    db: sqlite3.Connection, number: int, kind: Kind, name: str, settings: Mapping[str, Any], parent: int | None
) -> int:
    """Raises StoreError when there is no such kind or parent."""
    columns = _columns({"kind": kind, "name": name, "settings": settings})
    if parent is not None:
        _check(db, parent)
    query = "INSERT INTO groups VALUES (:number, :kind, :name, :settings, :created, :parent)"
    db.execute(query, {**columns, "number": number, "created": time.time(), "parent": parent})
    return number


def _ensure(db: sqlite3.Connection, number: int) -> None:
    """Make the group of a race unless it is there."""
    if read(db, number) is None:
        create(db, number, "race", "", {}, None)


def _check(db: sqlite3.Connection, number: int) -> None:
    """Raises StoreError when there is no such group, nor a run that may be the first of a race, which is then made."""
    if read(db, number) is None and not db.execute("SELECT 1 FROM runs WHERE number = ?", [number]).fetchone():
        raise StoreError(f"There is no group {number}.")
    _ensure(db, number)


def describe(db: sqlite3.Connection, number: int, values: Mapping[str, Any]) -> None:
    """Set a group's kind, name, settings or parent. Raises StoreError when there is no such group, kind or parent."""
    for one in {number, values.get("parent") or number}:
        _check(db, one)
    for column, value in _columns(values).items():
        db.execute(f"UPDATE groups SET {column} = ? WHERE number = ?", [value, number])


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a group is described by, checked."""
    if unknown := values.keys() - {"kind", "name", "settings", "parent"}:
        raise StoreError(f"A group has no {' and no '.join(sorted(unknown))}.")
    if "kind" in values and values["kind"] not in get_args(Kind):
        raise StoreError(f"There is no group of kind {values['kind']!r}; there are {', '.join(get_args(Kind))}.")
    try:
        changed = {"settings": json.dumps(dict(values["settings"]), allow_nan=False)} if "settings" in values else {}
    except (TypeError, ValueError) as error:
        raise StoreError(f"A group's settings cannot be kept as JSON: {error}.") from error
    return {**values, **changed}


def read(db: sqlite3.Connection, number: int) -> Group | None:
    row = db.execute("SELECT * FROM groups WHERE number = ?", [number]).fetchone()
    return _group(row) if row else None


def read_all(db: sqlite3.Connection, kind: Kind | None) -> list[Group]:
    """Newest first; those of one kind, if it is named."""
    rows = db.execute("SELECT * FROM groups WHERE kind = coalesce(?, kind) ORDER BY number DESC", [kind])
    return [_group(row) for row in rows]


def _group(row: sqlite3.Row) -> Group:
    return Group(**{**dict(row), "settings": json.loads(row["settings"])})


def members(db: sqlite3.Connection, number: int) -> list[int]:
    """The runs of a group that are not deleted, first to last."""
    query = "SELECT number FROM runs WHERE grp = ? AND deleted IS NULL ORDER BY number"
    return [row["number"] for row in db.execute(query, [number])]


def contestants(db: sqlite3.Connection, race: int | None) -> list[int]:
    """The members of a race; of the one with the newest run that is not deleted, unless it is named."""
    query = """
        SELECT grp FROM runs JOIN groups ON groups.number = grp
        WHERE kind = 'race' AND (grp = :race OR :race IS NULL AND deleted IS NULL) ORDER BY runs.number DESC LIMIT 1
    """
    row = db.execute(query, {"race": race}).fetchone()
    return members(db, row["grp"]) if row else []


def join(db: sqlite3.Connection, number: int, runs: Sequence[int]) -> None:
    """Make runs members of a group, and of no other. Raises StoreError when there is no such group or run."""
    _check(db, number)
    for run in runs:
        left = db.execute("SELECT grp FROM runs WHERE number = ?", [run]).fetchone()
        if left is None:
            raise StoreError(f"There is no run {run}.")
        db.execute("UPDATE runs SET grp = ? WHERE number = ?", [number, run])
        remove_empty(db, left["grp"])


def join_race(db: sqlite3.Connection, record: Record) -> None:
    """Make a contestant a member of its race, unless it is in a group already."""
    query = "UPDATE runs SET grp = ? WHERE number = ? AND grp IS NULL"
    if record.race is not None and db.execute(query, [record.race, record.number]).rowcount:
        _ensure(db, record.race)


def remove_empty(db: sqlite3.Connection, number: int | None) -> None:
    """Remove a group whose last run has left it, if it has."""
    query = "DELETE FROM groups WHERE number = ? AND NOT EXISTS (SELECT 1 FROM runs WHERE grp = groups.number)"
    db.execute(query, [number])
