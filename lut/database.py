"""A latency table's file in use: transactions, queries whose rows are checked, and the lock of a
device that is being profiled into it."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from elasticvit.errors import StoreError
from elasticvit.process_lock import process_lock
from lut.checked_rows import checked_rows
from lut.table_errors import table_errors
from lut.table_file import opened, opened_to_read, transaction

T = TypeVar("T")


class Database:
    """The file at `path`, made when missing; one process may use it from several threads.

    Args:
        path: File of the table.
        read_only: Whether it is only read; then it must be there, and nothing is written.

    Raises:
        StoreError: The file is not such a table, is damaged, or was written by a newer version;
            it is left as it is.
        FileError: The table cannot be written.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock, self._open = threading.RLock(), ExitStack()
        self._db = self._open.enter_context(opened_to_read(path) if read_only else opened(path))

    @property
    def where(self) -> str:
        """What a message calls the table."""
        return f"latency table {self.path}"

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All writes inside, or none of them; one inside another is a part of it."""
        with self._lock, table_errors(self.path):
            inner = self._db.in_transaction
            with nullcontext() if inner else transaction(self._db):
                yield self._db

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Everything that a query finds, unchecked."""
        with self._lock, table_errors(self.path):
            return self._db.execute(query, values).fetchall()

    def records(self, kind: type[T], table: str, query: str, *values: Any) -> list[T]:
        """Everything that a query finds, checked.

        Args:
            kind: Type of a row; see `lut.checked_rows`.
            table: Table that the rows are of.
            query: Its first column is the row's `id`.

        Raises:
            StoreError: A row breaks a rule.
        """
        with self._lock, table_errors(self.path):
            found = self._db.execute(query, values)
            columns, rows = [column[0] for column in found.description], found.fetchall()
        return checked_rows(kind, columns, rows, self.where, table)

    def exclusive(self, what: str) -> AbstractContextManager[None]:
        """Hold `what` against other processes; the system lets go when the holder dies.

        Raises:
            StoreError: Another process holds it.
        """
        digest = hashlib.sha256(what.encode()).hexdigest()[:12]
        return process_lock(
            self.path.with_name(f"{self.path.name}.{digest}.lock"),
            StoreError,
            f"{what} is being profiled into {self.path} by process {{process}}; wait for it or "
            "stop it",
        )

    def is_alone(self) -> bool:
        """Whether no other connection has the file open. To be asked before it is removed: its log
        is merged into it."""
        with self._lock, table_errors(self.path):
            self._db.execute("PRAGMA busy_timeout = 0")
            try:
                return bool(self._db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "wal")
            except sqlite3.OperationalError:  # it is locked
                return False

    def close(self) -> None:
        """Close the file; it cannot be used any more."""
        with self._lock:
            self._open.close()
