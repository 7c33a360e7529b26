"""The tables of the list of runs, and how a list of an older version comes by them."""

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
    """
    CREATE TABLE groups (  -- its settings are JSON
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        settings TEXT NOT NULL,
        created REAL NOT NULL,
        parent INTEGER REFERENCES groups ON DELETE SET NULL
    );
    INSERT INTO groups SELECT race, 'race', '', '{}', min(created), NULL FROM runs WHERE race > 0 GROUP BY race;
    ALTER TABLE runs RENAME COLUMN race TO grp;
    CREATE INDEX runs_of_group ON runs (grp);
    CREATE TABLE commands (  -- its value is JSON, its answer empty when it was done
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
        command TEXT NOT NULL,
        value TEXT NOT NULL,
        asked REAL NOT NULL,
        answered REAL,
        answer TEXT
    );
    CREATE INDEX commands_of_run ON commands (run, answered);
    """,
)
