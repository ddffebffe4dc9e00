"""Lock that allows one profile per phone on this computer: two would disturb each other's
timings."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path
from weakref import WeakValueDictionary

from elasticvit.errors import DeviceError
from elasticvit.process_lock import process_lock

_HOLDERS: WeakValueDictionary[Path, LocalLock] = WeakValueDictionary()  # of this process
_GUARD = threading.Lock()


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
            DeviceError: Another process has it, or another device of this one.
            FileError: The file of the lock cannot be made.
        """
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"elasticvit-{os.getuid()}-{digest}.lock"
        with _GUARD:
            if path in _HOLDERS:
                raise DeviceError(
                    f"{self.name} is in use by another device of this command: the two are the "
                    "same phone, or neither says which phone on USB it is; name the phone once, or "
                    "give each device its own `serial` or `address` in devices.toml "
                    "(the list of connected devices shows them)"
                )
            self._held.enter_context(
                process_lock(
                    path,
                    DeviceError,
                    f"{self.name} is in use by another profile on this computer (process "
                    "{process}); wait for it or stop it",
                )
            )
            self._held.callback(_HOLDERS.pop, path)
            _HOLDERS[path] = self

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        with _GUARD:
            self._held.close()
