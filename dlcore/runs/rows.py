"""Rows: a run as the database has it, written from a record and read again. All functions work within a transaction."""

import json
import math
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from dlcore.history import Change, Epoch, History
from dlcore.recipe import Recipe
from dlcore.runs import groups, records
from dlcore.runs.database import StoreError
from dlcore.runs.records import Branch, Failure, Record, Status, Stored
from dlcore.settings import SettingsError, parse

FORMAT = 1  # of a run's row; a newer one is left alone

RACE = "(SELECT groups.number FROM groups WHERE groups.number = grp AND kind = 'race') AS race"

# A row for the table of runs and for the command line. Accuracies are shares of 1; `created` is made readable later.
SUMMARY = f"""
    SELECT number, name, status, reason, last_epoch AS epoch, steps AS step, last.val_accuracy, last.val_loss,
        last.train_loss, last.seconds, best_epoch, best.val_accuracy AS best_val_accuracy,
        best.val_loss AS best_val_loss, created, elapsed, tags, note, {RACE}, parent, parent_epoch, size,
        json_extract(recipe, '$.data.kind') AS data, json_extract(recipe, '$.model.kind') AS model,
        json_extract(recipe, '$.optimizer.kind') AS optimizer, json_extract(recipe, '$.optimizer.lr') AS lr,
        coalesce((SELECT value FROM changes WHERE run = number AND setting = 'epochs'
            AND step >= coalesce(parent_step, 0) ORDER BY step DESC LIMIT 1),
            json_extract(recipe, '$.epochs')) AS epochs
    FROM runs
    LEFT JOIN epochs AS last ON last.run = number AND last.epoch = last_epoch
    LEFT JOIN epochs AS best ON best.run = number AND best.epoch = best_epoch
"""

# Reading


def summary(row: sqlite3.Row, status: Status) -> dict:
    return dict(row) | {"status": status, "tags": json.loads(row["tags"]), "epochs": int(row["epochs"] or 0)}


def run(db: sqlite3.Connection, number: int) -> sqlite3.Row | None:
    """A run's own row. Raises StoreError when it is of a newer format."""
    row = db.execute(
        f"SELECT runs.*, {RACE}, (SELECT name FROM runs AS other WHERE other.number = runs.parent) AS parent_name "
        "FROM runs WHERE number = ?",
        [number],
    ).fetchone()
    if row and row["format"] > FORMAT:
        told = f"Run {number} has format {row['format']}, and this dlcore reads up to {FORMAT}: update dlcore."
        raise StoreError(told)
    return row


def history(db: sqlite3.Connection, row: sqlite3.Row, before: Stored | None) -> History:
    """The history of a run; that of `before`, with what is new, unless it has gone another way since."""
    same = before and (before.rewinds, before.created) == (row["rewinds"], row["created"])
    goes_on = same and before.history.steps <= steps(db, row["number"])  # unless this is an older database
    longer = before.history if goes_on else History()
    read_on(db, row["number"], longer)
    return longer


def stored(row: sqlite3.Row, history: History, status: Status) -> Stored:
    """The run of a row. Raises StoreError when its recipe cannot be read."""
    try:
        return _stored(row, parse(Recipe, row["recipe"]), history, status)
    except SettingsError as error:
        raise StoreError(f"Run {row['number']} cannot be read: {error}") from error


def _stored(row: sqlite3.Row, recipe: Recipe, history: History, status: Status) -> Stored:
    branched = row["parent"] is not None
    environment = json.loads(row["environment"])
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
        status=status,
        elapsed=row["elapsed"],
        stepping=row["stepping"],
        note=row["note"],
        tags=tuple(json.loads(row["tags"])),
        environment=environment,
        threads=int(environment.get("threads", 0)),
        parent_name=row["parent_name"] or "",
        size=row["size"],
        rewinds=row["rewinds"],
        deleted=row["deleted"],
    )


def steps(db: sqlite3.Connection, number: int) -> int:
    """How many losses are saved."""
    last = 'SELECT "first" + length("values") / 4 AS steps FROM losses WHERE run = ? ORDER BY "first" DESC LIMIT 1'
    row = db.execute(last, [number]).fetchone()
    return row["steps"] if row else 0


def read_on(db: sqlite3.Connection, number: int, history: History) -> None:
    """Add to a history what was saved since it was read."""
    last = history.epochs[-1].epoch if history.epochs else 0
    rows = db.execute("SELECT * FROM epochs WHERE run = ? AND epoch > ? ORDER BY epoch", [number, last])
    changes = db.execute("SELECT step, setting, value FROM changes WHERE run = ? ORDER BY step, setting", [number])
    history.changes = [Change(row["step"], row["setting"], json.loads(row["value"])) for row in changes]
    history.extend(_losses(db, number, history.steps), [_epoch(row) for row in rows])


def _losses(db: sqlite3.Connection, number: int, start: int) -> np.ndarray:
    """From a step on, float32."""
    query = (
        'SELECT "first", "values" FROM losses WHERE run = :run AND "first" >= coalesce((SELECT max("first") '
        'FROM losses WHERE run = :run AND "first" <= :start), 0) ORDER BY "first"'
    )
    rows = db.execute(query, {"run": number, "start": start}).fetchall()
    losses = np.frombuffer(b"".join(row["values"] for row in rows), "<f4")
    return losses[start - rows[0]["first"] :] if rows else losses


def _epoch(row: sqlite3.Row) -> Epoch:
    values = dict(row)
    del values["run"]
    for name in ("train_loss", "val_loss"):  # SQLite keeps what is not a number as nothing
        values[name] = math.nan if values[name] is None else values[name]
    return Epoch(**values)


# Writing


def create(db: sqlite3.Connection, record: Record, number: int) -> int:
    values = columns(record) | {
        "number": number,
        "format": FORMAT,
        "name": record.name,
        "recipe": record.first_recipe.model_dump_json(),
        "environment": json.dumps(records.environment(record.first_recipe.device, record.threads)),
        "created": record.created,
        "parent": record.branch.parent if record.branch else None,
        "parent_epoch": record.branch.epoch if record.branch else None,
        "parent_step": record.branch.step if record.branch else None,
    }
    _insert(db, "runs", values)
    return number


def columns(record: Record) -> dict[str, Any]:
    """What changes while a run trains."""
    return {
        "status": record.status,
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


def described(values: dict[str, Any]) -> dict[str, Any]:
    """Name, note and tags as columns."""
    return values | ({"tags": json.dumps(values["tags"])} if "tags" in values else {})


def update(db: sqlite3.Connection, number: int, values: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}" = ?' for name in values)
    db.execute(f"UPDATE runs SET {names} WHERE number = ?", [*values.values(), number])


def save(
    db: sqlite3.Connection, record: Record, values: dict[str, Any], again: bool, words: Callable[[], dict[str, Any]]
) -> None:
    """Bring a run up to date: its columns to these values, and its history by what is new; all of it if it is saved
    `again`, elsewhere than before. Where there is no such run it is entered, with the name, the note and the tags that
    `words` gives. Raises StoreError when another run has its number.
    """
    number, history = record.number, record.history
    row = db.execute("SELECT created FROM runs WHERE number = ?", [number]).fetchone()
    if row is None:  # this is another database than the last time
        create(db, record, number)
        update(db, number, described(words()))
    elif again:  # what it knows may be old, or of another course
        if row["created"] != record.created:
            file = db.execute("PRAGMA database_list").fetchone()["file"]
            told = f"Run {number}, which trains here, is another one than the run {number} in {file} now"
            raise StoreError(f"{told}: it cannot be kept there.")
        for table in ("losses", "epochs", "commands"):
            db.execute(f"DELETE FROM {table} WHERE run = ?", [number])
        db.execute("UPDATE runs SET rewinds = rewinds + 1 WHERE number = ?", [number])
    _save_losses(db, number, history.losses)
    last = db.execute("SELECT max(epoch) AS epoch FROM epochs WHERE run = ?", [number]).fetchone()
    for epoch in history.epochs[last["epoch"] or 0 :]:
        _insert(db, "epochs", {"run": number, **asdict(epoch)})
    db.execute("DELETE FROM changes WHERE run = ?", [number])  # few, and some may have been taken back
    for change in history.changes:
        _insert(db, "changes", {"run": number, **asdict(change), "value": json.dumps(change.value)})
    update(db, number, values)
    groups.join_race(db, record)


def remove(db: sqlite3.Connection, number: int) -> None:
    """Remove a run with all that was measured of it."""
    row = db.execute("SELECT grp FROM runs WHERE number = ?", [number]).fetchone()
    db.execute("DELETE FROM runs WHERE number = ?", [number])
    groups.remove_empty(db, row["grp"] if row else None)


def rewind(db: sqlite3.Connection, number: int, step: int) -> None:
    """Forget what was measured after a step."""
    losses = _losses(db, number, 0)[:step]
    db.execute("DELETE FROM losses WHERE run = ?", [number])
    db.execute("DELETE FROM epochs WHERE run = ? AND step > ?", [number, step])
    _save_losses(db, number, losses)
    db.execute("UPDATE runs SET rewinds = rewinds + 1 WHERE number = ?", [number])


def _save_losses(db: sqlite3.Connection, number: int, losses: np.ndarray) -> None:
    saved = steps(db, number)
    if len(losses) > saved:
        blob = losses[saved:].astype("<f4").tobytes()
        db.execute("INSERT INTO losses VALUES (?, ?, ?)", [number, saved, blob])


def _insert(db: sqlite3.Connection, table: str, values: dict[str, Any]) -> None:
    names = ", ".join(f'"{name}"' for name in values)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", list(values.values()))
