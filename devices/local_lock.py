"""Lock that allows one profile per phone on this computer: two would disturb each other's
timings."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from elasticvit.errors import DeviceError


class LocalLock:
    """A lock on a file, which the system releases when the process that holds it ends.

    Args:
        name: Name of what is locked, such as a phone's address.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        digest = hashlib.sha256(name.encode()).hexdigest()[:16]
        self._path = Path(tempfile.gettempdir()) / f"elasticvit-{os.getuid()}-{digest}.lock"
        self._fd: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            DeviceError: Another process has it.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise DeviceError(
                f"{self.name} is in use by another profile on this computer (process {holder}); "
                "wait for it or stop it"
            ) from error
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
