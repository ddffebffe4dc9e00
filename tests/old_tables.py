"""Latency tables as versions without precisions wrote them."""

from __future__ import annotations

import sqlite3

OLD = """
CREATE TABLE old_series (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL, source TEXT NOT NULL, runtime TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    threads INTEGER NOT NULL, cores TEXT NOT NULL,
    UNIQUE (device, source, runtime, runtime_hash, threads, cores)
);
INSERT INTO old_series
    SELECT id, device, source, runtime, runtime_hash, threads, cores FROM series;
DROP TABLE series;
ALTER TABLE old_series RENAME TO series;
ALTER TABLE rejected DROP COLUMN precision;
ALTER TABLE notes DROP COLUMN precision;
PRAGMA user_version = 3;
PRAGMA journal_mode = DELETE;
"""


def without_precision(db: sqlite3.Connection) -> None:
    """Make of a table of fp32 what schema 3 had for it."""
    db.executescript(OLD)
