"""Retention: for how long a deleted run can be brought back."""

import json
import sqlite3

GRACE = 24 * 3600  # seconds
OVERDUE = "overdue"  # the setting that keeps since when deleted runs were found to be removed for good


def overdue(db: sqlite3.Connection, now: float) -> list[int]:
    """The runs that were deleted more than a day ago, and were found so a day ago: a clock that jumps ahead and back
    takes nothing along. What was deleted later than now, before the clock was set back, was deleted now.
    """
    db.execute("UPDATE runs SET deleted = ? WHERE deleted > ?", [now, now])
    row = db.execute("SELECT value FROM settings WHERE name = ?", [OVERDUE]).fetchone()
    before, since = json.loads(row["value"]) if row else {}, {}
    for run in db.execute("SELECT number, deleted FROM runs WHERE deleted < ?", [now - GRACE]):
        noticed = before.get(str(run["number"]), now)
        since[str(run["number"])] = noticed if run["deleted"] <= noticed <= now else now
    if since != before:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", [OVERDUE, json.dumps(since)])
    return [int(number) for number, noticed in since.items() if noticed < now - GRACE]
