"""The tables within a file of judgements, and how the file stays within its size."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from elasticvit.errors import CheckpointError

SCHEMA = 1
MOST_BYTES = 2**28  # some 500,000 judgements of a thousand images: 50 searches of the paper's size
TABLES = """
CREATE TABLE contexts (
    id INTEGER PRIMARY KEY, context TEXT NOT NULL UNIQUE, used INTEGER NOT NULL
);
CREATE TABLE judged (
    context INTEGER NOT NULL REFERENCES contexts (id), genes BLOB NOT NULL,
    images INTEGER NOT NULL, correct BLOB NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE (context, genes)
);
"""
USE = (  # `used` rises with every addition
    "INSERT INTO contexts (context, used) "
    "VALUES (?, (SELECT COALESCE(MAX(used), 0) + 1 FROM contexts)) "
    "ON CONFLICT (context) DO UPDATE SET used = excluded.used"
)
NUMBER = "SELECT id FROM contexts WHERE context = ?"
ADD = (
    "INSERT INTO judged VALUES (?, ?, ?, ?, ?) ON CONFLICT (context, genes) DO UPDATE SET "
    "images = excluded.images, correct = excluded.correct, checksum = excluded.checksum "
    "WHERE excluded.images > images"
)
GET = (
    "SELECT images, correct, checksum FROM judged JOIN contexts ON contexts.id = judged.context "
    "WHERE contexts.context = ? AND genes = ?"
)


def make_tables(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file.

    Args:
        database: The open file, with no transaction under way.
        path: The file, for messages.

    Raises:
        CheckpointError: A later version wrote the file.
    """
    if _pragma(database, "user_version") == 0:
        with database:
            database.execute("BEGIN IMMEDIATE")
            if _pragma(database, "user_version") == 0:  # no other process was faster
                for statement in TABLES.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {SCHEMA}")
    found = _pragma(database, "user_version")
    if found != SCHEMA:
        raise CheckpointError(
            f"{path} has schema {found}, and this version of elasticvit reads judgements of schema "
            f"{SCHEMA}: update elasticvit, or move the file away"
        )


def make_room(database: sqlite3.Connection, kept: int) -> None:
    """Delete the contexts that were used longest ago until the file is within its size; what is
    freed is used again.

    Args:
        database: The open file, within a transaction.
        kept: Number of the context that stays.
    """
    size = _pragma(database, "page_size")
    while size * (_pragma(database, "page_count") - _pragma(database, "freelist_count")) > (
        MOST_BYTES
    ):
        oldest = "SELECT id FROM contexts WHERE id != ? ORDER BY used LIMIT 1"
        found = database.execute(oldest, (kept,)).fetchone()
        if found is None:
            return
        database.execute("DELETE FROM judged WHERE context = ?", found)
        database.execute("DELETE FROM contexts WHERE id = ?", found)


def _pragma(database: sqlite3.Connection, name: str) -> int:
    value: int = database.execute(f"PRAGMA {name}").fetchone()[0]
    return value
