"""Commands: what one process asks of a run that another one trains.

Who trains it reads what nobody has answered yet, does it, and answers with nothing, or with a sentence on why it could
not. What a command says is checked when it is asked and when it is read: the two may be of different versions. All
functions work within a transaction.
"""

import json
import sqlite3
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from dlcore.recipe import STEERABLE
from dlcore.runs.operations import is_operation, plain_problem
from dlcore.runs.records import PACE, checked_pace
from dlcore.settings import Problem, SettingsError, did_you_mean, show

Command = Literal["pause", "resume", "step", "stop", "steer", "pace"]
KEPT = 24 * 3600  # seconds that a command can be answered, and its answer be read
LONGEST = 1000  # letters of a command's value, and of an answer
MOST = 1e15  # of any number
UNHEARD = "The process that trained the run ended before it heard of this."


class Request(NamedTuple):
    """A command that waits for its answer."""

    id: int
    command: Command
    value: Any  # of steer: values by dotted path; of pace: steps a second, None for full speed; of others: None


def checked(command: str, value: Any) -> str:
    """The value as JSON. Raises SettingsError for a command that there is not, or one that takes no such value."""
    if command not in get_args(Command):
        words = did_you_mean(command, get_args(Command)) or f"; there are {', '.join(get_args(Command))}."
        raise SettingsError([Problem("command", f"There is no command {show(command)}{words}")])
    if command == "pace":
        if value is not None and not _is_number(value):
            raise SettingsError([Problem(PACE, f"pace is {show(value)}; it takes a number, or none for full speed.")])
        checked_pace(value)
    elif command == "steer":
        value = _changes(value)
    elif value is not None:
        raise SettingsError([Problem("value", f"{command} takes no value; it was given {show(value)}.")])
    text = json.dumps(value)
    if len(text) > LONGEST:
        raise SettingsError([Problem("value", f"A command's value has at most {LONGEST:,} letters.")])
    return text


def _changes(value: Any) -> dict[str, bool | float]:
    """Settings by dotted path. Raises SettingsError for what is none; whether a run takes it, its trainer says."""
    if not isinstance(value, Mapping) or not value:
        raise SettingsError([Problem("value", f"steer takes values by setting; it was given {show(value)}.")])
    problems = []
    for path, setting in value.items():
        if is_operation(str(path)):
            problems += [Problem(path, text)] if (text := plain_problem(path, setting)) else []
        elif path not in STEERABLE:
            nearest = did_you_mean(str(path), STEERABLE) or "."
            problems.append(Problem(str(path), f"{show(path)} cannot change once a run has begun{nearest}"))
        elif not (type(setting) is bool or _is_number(setting)):
            problems.append(Problem(path, f"{path} is {show(setting)}; it takes a number, true or false."))
    if problems:
        raise SettingsError(problems)
    return dict(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MOST


def ask(db: sqlite3.Connection, run: int, command: str, value: str) -> int:
    """Enter a command whose value is checked; its id. What is too old for anyone to wait for goes."""
    now = time.time()
    db.execute("DELETE FROM commands WHERE asked < ? OR asked > ?", [now - KEPT, now + KEPT])
    query = "INSERT INTO commands (run, command, value, asked) VALUES (?, ?, ?, ?)"
    return db.execute(query, [run, command, value, now]).lastrowid


def waiting(db: sqlite3.Connection, run: int) -> tuple[list[Request], dict[int, str]]:
    """What nobody has answered yet, in the order in which it was asked; and what no command of this dlcore says, with
    a sentence on that.
    """
    requests, refused = [], {}
    for row in db.execute("SELECT * FROM commands WHERE run = ? AND answered IS NULL ORDER BY id", [run]):
        try:
            value = json.loads(row["value"])
            checked(row["command"], value)
            requests.append(Request(row["id"], row["command"], value))
        except SettingsError as error:
            refused[row["id"]] = str(error)
        except (ValueError, RecursionError):
            refused[row["id"]] = "The command cannot be read."
    return requests, refused


def answer(db: sqlite3.Connection, id: int, sentence: str) -> None:
    """Answer a command, unless it is answered already."""
    query = "UPDATE commands SET answered = ?, answer = ? WHERE id = ? AND answered IS NULL"
    db.execute(query, [time.time(), sentence[:LONGEST], id])


def answer_all(db: sqlite3.Connection, run: int) -> None:
    """Answer what was asked of whoever trained a run before."""
    query = "UPDATE commands SET answered = ?, answer = ? WHERE run = ? AND answered IS NULL"
    db.execute(query, [time.time(), UNHEARD, run])


def read(db: sqlite3.Connection, id: int, unanswered: str | None = None) -> sqlite3.Row | None:
    """The run of a command, and its answer; `unanswered` as long as there is none."""
    query = "SELECT run, coalesce(answer, ?) AS answer FROM commands WHERE id = ?"
    return db.execute(query, [unanswered, id]).fetchone()
