"""What is said when a latency table cannot be used: the file, the cause, and what to do next.

SQLite tells the causes apart in words alone; what it says of a full disk, of a read-only folder and
of a missing permission is completed by what the file system says.
"""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elasticvit.errors import EvitError, StoreError
from elasticvit.files import file_error
from elasticvit.precisions import profile_step
from lut.series import Series

MEND = "move it away and profile again, or put a copy of it back"
KEPT = "what was measured before is kept"
# parts of SQLite's messages about the file system
FULL = "disk is full"
REFUSED = ("readonly database", "unable to open", "disk I/O error", FULL)
BUSY = "is locked"
BESIDE = ("", "-wal", "-shm", "-journal")  # a table's file and those that SQLite makes beside it


@contextmanager
def table_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite refuses into our errors.

    Args:
        path: File of the table that is used inside.

    Raises:
        FileError: The table cannot be written: a full disk, a read-only folder, no permission.
        StoreError: The table is damaged, or another process holds it.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _of_sqlite(path, str(error)) from error


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses while a table's file is read into a `StoreError`."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"latency table {path} cannot be read: {error.strerror or error}; check its "
            "permissions and the disk"
        ) from error


def damaged(path: Path, what: str) -> StoreError:
    """The error of a damaged table.

    Args:
        path: Its file.
        what: What is wrong with it.
    """
    return StoreError(f"latency table {path} is damaged ({what}); {MEND}")


def no_series(
    path: Path, device: str, precision: str, found: Sequence[Series], known: Sequence[str]
) -> StoreError:
    """The error of a device without measurements in a precision.

    Args:
        path: File of the table.
        found: Series of the device in other precisions.
        known: Devices that have measurements.
    """
    if found:
        others = ", ".join(sorted({one.precision for one in found}))
        return StoreError(
            f"no measurements of device {device!r} in {precision} in {path}, which has them in "
            f"{others}; profile the device in {precision} first",
            settings=("precision",),
            next_step=profile_step(device, precision),
        )
    return StoreError(
        f"no measurements of device {device!r} in {path}, which has "
        f"{', '.join(known) or 'no device'}; profile the device first",
        settings=("device",),
        next_step=profile_step(device, precision),
    )


def _of_sqlite(path: Path, message: str) -> EvitError:
    if BUSY in message:
        return StoreError(
            f"latency table {path} is in use by another process, which has held it for a minute; "
            "wait for that process or stop it"
        )
    if any(words in message for words in REFUSED):
        number = _cause(path, message)
        cause = OSError(message) if number is None else OSError(number, os.strerror(number))
        error = file_error(f"latency table {path}", cause)
        error.args = (f"{error}; {KEPT}",)
        return error
    return StoreError(f"latency table {path} cannot be used: {message}; if it is damaged, {MEND}")


def _cause(path: Path, message: str) -> int | None:
    """Number of the error of the file system behind SQLite's; None if it is not known."""
    try:
        disk = os.statvfs(path.parent)
    except OSError as error:
        return error.errno
    files = [path.with_name(path.name + suffix) for suffix in BESIDE]
    if any(file.is_dir() for file in files):
        return errno.EISDIR
    if disk.f_flag & os.ST_RDONLY:
        return errno.EROFS
    if FULL in message or disk.f_bavail == 0:
        return errno.ENOSPC
    if not all(os.access(file, os.W_OK) for file in (path.parent, *files) if file.exists()):
        return errno.EACCES
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return errno.EFBIG
    return None
