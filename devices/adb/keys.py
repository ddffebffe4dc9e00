"""RSA keys that authenticate this computer to phones: those of the `adb` program, created if
missing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
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
    """adb-shell signers of the keys; the first key is created if it is missing.

    Raises:
        DeviceError: A key cannot be made or read.
    """
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    first, *others = paths or key_paths()
    signers = []
    for path in [first, *(other for other in others if other.exists())]:
        try:
            if not path.exists():
                _make(path)
            if not _public(path).exists():
                _make_public(path)
            signers.append(PythonRSASigner.FromRSAKeyPath(str(path)))
        except (OSError, ValueError) as error:
            raise DeviceError(
                f"adb key {path} cannot be used: {error}; move it and {path.name}.pub away, and a "
                "new one will be made"
            ) from error
    return signers


def _public(path: Path) -> Path:
    return path.with_name(path.name + ".pub")


def _make(path: Path) -> None:
    """Write a new private key, whole or not at all, readable by its owner alone.

    If another process or thread creates one at the same time, both use the first.
    """
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=path.parent, prefix=".adbkey-") as folder:
        new = Path(folder) / "adbkey"
        keygen(str(new))
        new.chmod(0o600)
        with contextlib.suppress(FileExistsError):
            os.link(new, path)


def _make_public(path: Path) -> None:
    """Write the public half of a private key."""
    from adb_shell.auth.keygen import write_public_keyfile

    with TemporaryDirectory(dir=path.parent, prefix=".adbkey-") as folder:
        new = Path(folder) / "adbkey.pub"
        write_public_keyfile(str(path), str(new))
        os.replace(new, _public(path))
