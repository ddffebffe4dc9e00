"""The latency table's file: SQLite with our schema, opened only when it is whole and ours."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.errors import StoreError
from lut.estimate import round_ms

SCHEMA = 3
APPLICATION_ID = 0x45565431  # "EVT1"; at byte 68 of the file
MAGIC = b"SQLite format 3\x00"
BUSY_S = 60.0
TABLES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL, source TEXT NOT NULL, runtime TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    threads INTEGER NOT NULL, cores TEXT NOT NULL,
    UNIQUE (device, source, runtime, runtime_hash, threads, cores)
);
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
    key TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL
);
"""


class Database:
    """The file at `path`, made when missing; one process may use it from several threads.

    Raises:
        StoreError: The file is not such a table, is damaged, or was written by a newer version;
            it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        _check_header(path)
        with _errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        try:
            with _errors(path):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        if not self._pragma("user_version"):
            with self.transaction():
                self._make_tables()
        verdict = self._pragma("quick_check(1)")
        if verdict != "ok":
            raise StoreError(
                f"latency table {self.path} is damaged ({str(verdict).splitlines()[-1]}); move it "
                "away and profile again, or put a copy of it back"
            )
        if self._pragma("user_version") < SCHEMA:
            with self.transaction():
                self._migrate()
        self._db.execute("PRAGMA journal_mode = WAL")
        # a power cut may take the last seconds, a killed process nothing; neither breaks the file
        self._db.execute("PRAGMA synchronous = NORMAL")

    def _make_tables(self) -> None:
        if self._pragma("user_version"):
            return  # another process was faster
        for statement in TABLES.split(";"):
            self._db.execute(statement)
        # in the header, where the next opening reads them before it touches the file
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _migrate(self) -> None:
        """Bring a table of an earlier version to the present schema.

        Schema 1 knew no calibration models, and had another rule for a round's latency; schema 2
        called the column `gauges`.
        """
        version = self._pragma("user_version")
        if version == 1:
            self._db.execute("ALTER TABLE measurements ADD COLUMN calibration_us TEXT")
            self._db.create_function(
                "of_runs", 1, lambda runs: round_ms(np.frombuffer(runs, dtype="<f8"))
            )
            self._db.execute("UPDATE measurements SET round_ms = of_runs(samples_us)")
        elif version == 2:
            self._db.execute("ALTER TABLE measurements RENAME COLUMN gauges TO calibration_us")
        # any other is the present one: another process was faster
        self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _pragma(self, name: str) -> Any:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All writes inside, or none of them."""
        with self._lock, _errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Everything that a query finds."""
        with self._lock, _errors(self.path):
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def exclusive(self, what: str) -> Iterator[None]:
        """Hold `what` against other processes; the system lets go when the holder dies.

        Raises:
            StoreError: Another process holds it.
        """
        digest = hashlib.sha256(what.encode()).hexdigest()[:12]
        path = self.path.with_name(f"{self.path.name}.{digest}.lock")
        with path.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise StoreError(
                    f"{what} is being profiled into {self.path} by process {file.read() or '?'}; "
                    "wait for it or stop it"
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def close(self) -> None:
        """Close the file; it cannot be used any more."""
        with self._lock:
            self._db.close()


def _check_header(path: Path) -> None:
    """Refuse a foreign or newer file before SQLite opens, and so possibly changes, it."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"latency table {path}: {error.strerror}") from error
    if not head:
        return  # new, or its maker was killed before the first page was written
    if not head.startswith(MAGIC) or len(head) < 100:
        raise StoreError(
            f"{path} is not a latency table (no SQLite file); move it away and profile again"
        )
    version, application = (struct.unpack(">i", head[i : i + 4])[0] for i in (60, 68))
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite file of another program; name another workspace",
            settings=("workspace",),
        )
    if version > SCHEMA:
        raise StoreError(
            f"latency table {path} has schema {version}, this version reads {SCHEMA}; update "
            "elasticvit"
        )


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"latency table {path} cannot be used: {error}; if it is damaged, move it away and "
            "profile again"
        ) from error
