"""Lock that allows one profile per phone on this computer: two would disturb each other's
timings."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from elasticvit.errors import DeviceError
from elasticvit.process_lock import process_lock


class LocalLock:
    """A lock on a file, which the system releases when the process that holds it ends.

    Args:
        name: Name of what is locked, such as a phone's address.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._held = ExitStack()

    def take(self) -> None:
        """Take the lock.

        Raises:
            DeviceError: Another process has it.
            FileError: The file of the lock cannot be made.
        """
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        self._held.enter_context(
            process_lock(
                Path(tempfile.gettempdir()) / f"elasticvit-{os.getuid()}-{digest}.lock",
                DeviceError,
                f"{self.name} is in use by another profile on this computer (process {{process}}); "
                "wait for it or stop it",
            )
        )

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        self._held.close()
