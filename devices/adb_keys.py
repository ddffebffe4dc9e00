"""The RSA keys that phones know this computer by: those of the `adb` program, made if missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from elasticvit.errors import DeviceError


def key_paths() -> list[Path]:
    """Private keys to try: `~/.android/adbkey`, then those that ADB_VENDOR_KEYS names."""
    paths = [Path.home() / ".android" / "adbkey"]
    for entry in filter(None, os.environ.get("ADB_VENDOR_KEYS", "").split(os.pathsep)):
        path = Path(entry)
        paths += sorted(path.glob("*.adb_key")) if path.is_dir() else [path]
    return paths


def load_signers(paths: list[Path] | None = None) -> list[Any]:
    """adb-shell signers of the keys; the first key is made when it is missing.

    Raises:
        DeviceError: a key cannot be made or read.
    """
    from adb_shell.auth.keygen import write_public_keyfile
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    first, *others = paths or key_paths()
    signers = []
    for path in [first, *(other for other in others if other.exists())]:
        try:
            if not path.exists():
                _make(path)
            public = path.with_name(path.name + ".pub")
            if not public.exists():
                write_public_keyfile(str(path), str(public))
            signers.append(PythonRSASigner.FromRSAKeyPath(str(path)))
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"adb key {path} cannot be used: {error}; move it and {path.name}.pub away, and a "
                "new one will be made"
            ) from error
    return signers


def _make(path: Path) -> None:
    """Write a new key pair, whole or not at all, readable by its owner alone."""
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    public = temporary.with_name(temporary.name + ".pub")
    before = os.umask(0o077)
    try:
        keygen(str(temporary))
        os.replace(public, path.with_name(path.name + ".pub"))
        os.replace(temporary, path)
    finally:
        os.umask(before)
        temporary.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
