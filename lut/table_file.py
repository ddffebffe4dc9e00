"""The file of a latency table, opened only when it is whole and ours: to write, or to read alone.

To read changes nothing in the table's folder, so that it needs no permission to write there.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote_from_bytes

from elasticvit.errors import NextStep, StoreError
from elasticvit.files import make_folder, writing
from lut.schema import APPLICATION_ID, SCHEMA, make_tables, migrate, pragma
from lut.table_errors import damaged, reading_errors, table_errors

MAGIC = b"SQLite format 3\x00"
BUSY_S = 60.0


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The table at `path` to read and to write, made when missing.

    Raises:
        StoreError: The file is not such a table, is damaged, or was written by a newer version;
            it is left as it is.
        FileError: The table cannot be written.
    """
    check_header(path)
    make_folder(path.parent)
    new = not path.exists()
    with ExitStack() as stack:
        try:
            with table_errors(path):
                db = stack.enter_context(closing(_connected(path, "mode=rwc")))
                _prepare(db, path)
                db.execute("PRAGMA journal_mode = WAL")
                # a power cut may take the last seconds, a killed process nothing; neither breaks it
                db.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            stack.close()
            if new and path.is_file() and not path.stat().st_size:
                path.unlink(missing_ok=True)
            raise
        yield db


@contextmanager
def opened_to_read(path: Path) -> Iterator[sqlite3.Connection]:
    """The table at `path` to read; nothing in its folder is changed.

    What would have to be written first is done in a temporary copy: a log (`-wal`) that a killed
    profile left without its index (`-shm`) is applied, an earlier schema is brought to the present
    one.

    Raises:
        StoreError: The file is missing, is not such a table, is damaged, or was written by a newer
            version.
    """
    with reading_errors(path):
        missing = not path.exists()
    if missing:
        raise StoreError(
            f"there is no latency table {path}; profile a device first",
            next_step=NextStep("profile"),
        )
    check_header(path)
    with ExitStack() as stack:
        with table_errors(path), reading_errors(path):
            db = stack.enter_context(_as_it_is(path) or _copied(path))
            db.execute("PRAGMA query_only = ON")
        yield db


def _as_it_is(path: Path) -> closing[sqlite3.Connection] | None:
    """The table if it can be read where it is; otherwise None."""
    log, index, journal = (path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))
    unfinished = _holds_something(log)
    if _holds_something(journal) or (unfinished and not index.exists()):
        return None
    live = log.exists() and index.exists()
    db = _connected(path, "mode=ro" if live else "immutable=1")
    try:
        if pragma(db, "user_version") == SCHEMA:
            _check_whole(db, path)
            return closing(db)
    except sqlite3.OperationalError:  # it would have to be written; or damaged, which is told next
        pass
    except BaseException:
        db.close()
        raise
    db.close()
    return None


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """A temporary copy of the table, brought to the present schema."""
    with ExitStack() as stack:
        with writing("a temporary folder"):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        copy = folder / "lut.sqlite"
        for ending in ("", "-wal", "-journal"):
            source = path.with_name(path.name + ending)
            if source.is_file():
                target = folder / (copy.name + ending)
                with source.open("rb") as old, writing(target), target.open("wb") as new:
                    shutil.copyfileobj(old, new)
        db = stack.enter_context(closing(_connected(copy, "mode=rw")))
        _prepare(db, path)
        yield db


def _unfinished(path: Path) -> bool:
    """Whether a part of the table is in the log or the journal beside it."""
    return any(_holds_something(path.with_name(path.name + end)) for end in ("-wal", "-journal"))


def _holds_something(path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:  # another process may take its journal away at any moment
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


def _connected(path: Path, how: str) -> sqlite3.Connection:
    name = quote_from_bytes(bytes(path.absolute()))
    db = sqlite3.connect(
        f"file:{name}?{how}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    db.text_factory = _text
    return db


def _text(raw: bytes) -> str | bytes:
    """A text as text; what is none stays bytes, which the check of its row refuses."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    if not pragma(db, "user_version"):
        with transaction(db):
            make_tables(db)
    _check_whole(db, path)
    if pragma(db, "user_version") < SCHEMA:
        with transaction(db):
            migrate(db, f"latency table {path}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All writes inside, or none of them."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has ended it already when the disk is full
            db.execute("ROLLBACK")
        raise


def _check_whole(db: sqlite3.Connection, path: Path) -> None:
    verdict = pragma(db, "quick_check(1)")
    if verdict != "ok":
        raise damaged(path, str(verdict).splitlines()[-1])
    foreign = db.execute("SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger')")
    for kind, name in foreign.fetchall():
        raise damaged(path, f"it has the {kind} {name!r}, which no latency table has")
    for table, row, other, _ in db.execute("PRAGMA foreign_key_check").fetchall():
        raise damaged(
            path, f"row {row} of table {table} refers to a row of table {other} that is not there"
        )


def check_header(path: Path) -> None:
    """Refuse a foreign or newer file before SQLite opens, and so possibly changes, it.

    Raises:
        StoreError: It is one, or cannot be read.
    """
    with reading_errors(path):
        if not path.exists():
            return
        unfinished = _unfinished(path)
        if not path.is_file():  # to open a pipe would wait for ever
            raise StoreError(
                f"latency table {path} is a folder or a device, not a file; move it away and "
                "profile again"
            )
        with path.open("rb") as file:
            head = file.read(100)
            size = os.fstat(file.fileno()).st_size
        unfinished = unfinished or _unfinished(path)
    if not head:
        return  # new, or its maker was killed before the first page was written
    if not head.startswith(MAGIC) or len(head) < 100:
        raise StoreError(
            f"{path} is not a latency table (no SQLite file); move it away and profile again"
        )
    version, application = (struct.unpack(">i", head[i : i + 4])[0] for i in (60, 68))
    page = struct.unpack(">H", head[16:18])[0]
    if not unfinished and size % (page if page > 1 else 65536):
        raise damaged(path, f"it is cut off after {size:,} bytes")
    if application != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite file of another program; name another workspace",
            settings=("workspace",),
        )
    if version < 0:
        raise damaged(path, f"its schema is {version}")
    if version > SCHEMA:
        raise StoreError(
            f"latency table {path} has schema {version}, this version reads {SCHEMA}; update "
            "elasticvit"
        )
