"""The tables within a latency table's file, and how those of earlier versions become the present
ones."""

from __future__ import annotations

import sqlite3
from typing import Any

from elasticvit.precisions import FP32
from lut.estimate import round_ms
from lut.samples import decoded_us

SCHEMA = 4
MODEL_NOTES = ("chosen", "fitted")  # notes that name models, each of one precision
APPLICATION_ID = 0x45565431  # "EVT1"; at byte 68 of the file
SERIES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL, source TEXT NOT NULL, runtime TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    threads INTEGER NOT NULL, cores TEXT NOT NULL, precision TEXT NOT NULL,
    UNIQUE (device, source, runtime, runtime_hash, threads, cores, precision)
)
"""
TABLES = f"""
{SERIES};
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id),
    key TEXT NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL,
    time_s REAL NOT NULL,
    cores TEXT NOT NULL,
    runs INTEGER NOT NULL, interrupted_runs INTEGER,
    round_ms REAL NOT NULL CHECK (round_ms > 0), median_ms REAL NOT NULL, spread REAL NOT NULL,
    temperature_before_c REAL, temperature_after_c REAL,
    frequency_before_mhz REAL, frequency_after_mhz REAL,
    peak_bytes INTEGER, calibration_us TEXT,
    samples_us BLOB NOT NULL
);
CREATE INDEX measurements_by_key ON measurements (series, kind, key);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    key TEXT NOT NULL, reason TEXT NOT NULL, precision TEXT NOT NULL
);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    precision TEXT
);
"""


def pragma(db: sqlite3.Connection, name: str) -> Any:
    """The value of one of SQLite's pragmas."""
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables within a transaction, unless another process was faster."""
    if pragma(db, "user_version"):
        return
    for statement in TABLES.split(";"):
        db.execute(statement)
    # in the header, where the next opening reads them before it touches the file
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")


def migrate(db: sqlite3.Connection, where: str) -> None:
    """Bring the tables of an earlier version to the present schema, within a transaction.

    Schema 1 knew no calibration models, and had another rule for a round's latency; schema 2
    called the column `gauges`; schema 3 knew no precisions, and all that it holds is of fp32.

    Args:
        where: What a message calls the table.

    Raises:
        StoreError: The runs of a measurement are damaged.
    """
    version = pragma(db, "user_version")
    if version == 1:
        db.execute("ALTER TABLE measurements ADD COLUMN calibration_us TEXT")
        for number, blob in db.execute("SELECT id, samples_us FROM measurements").fetchall():
            ms = round_ms(decoded_us(blob, number, where))
            db.execute("UPDATE measurements SET round_ms = ? WHERE id = ?", (ms, number))
    elif version == 2:
        db.execute("ALTER TABLE measurements RENAME COLUMN gauges TO calibration_us")
    if version < 4:  # otherwise another process was faster
        _add_precision(db)
    db.execute(f"PRAGMA user_version = {SCHEMA}")


def _add_precision(db: sqlite3.Connection) -> None:
    """Say of all that is there that it is of fp32; what a device is, is of no precision.

    SQLite adds no column to a rule of uniqueness, so the table of series is made anew; the
    measurements refer to it by its name.
    """
    names = "id, device, source, runtime, runtime_hash, threads, cores"
    rows = db.execute(f"SELECT {names} FROM series").fetchall()
    db.execute("DROP TABLE series")
    db.execute(SERIES)
    marks = ", ".join("?" * 8)
    db.executemany(
        f"INSERT INTO series ({names}, precision) VALUES ({marks})", [(*row, FP32) for row in rows]
    )
    db.execute(f"ALTER TABLE rejected ADD COLUMN precision TEXT NOT NULL DEFAULT '{FP32}'")
    db.execute("ALTER TABLE notes ADD COLUMN precision TEXT")
    of_models = ", ".join("?" * len(MODEL_NOTES))
    db.execute(f"UPDATE notes SET precision = ? WHERE name IN ({of_models})", (FP32, *MODEL_NOTES))
