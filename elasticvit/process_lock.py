"""A lock between processes of this computer, which the system releases when its holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elasticvit.errors import EvitError
from elasticvit.files import make_folder, writing


@contextmanager
def process_lock(path: Path, error: type[EvitError], message: str) -> Iterator[None]:
    """Hold the lock of a file while the context lasts.

    The file holds the number of the process and stays when the lock is given back: to remove it
    would let two others in at once.

    Args:
        path: File of the lock; made when missing.
        error: Type of the error that is raised when another process holds the lock.
        message: Its message, with `{process}` where the number of that process belongs.

    Raises:
        EvitError: Another process holds the lock; of the type `error`.
        FileError: The file of the lock cannot be made.
    """
    make_folder(path.parent)
    with writing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise error(message.replace("{process}", holder)) from held
        with writing(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def held_by(path: Path) -> str | None:
    """Number of the process that holds the lock of a file; None if none does. Nothing is written.

    Args:
        path: File of the lock.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return None
