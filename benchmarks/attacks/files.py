"""What lies in a folder: a digest of each file, and what is only half there."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

PASSING = (
    "*.lock",
    "*/lock",
    "*/.lock",
    "*.sqlite-wal",
    "*.sqlite-shm",
    "*.sqlite-journal",
)  # of no content
MOST_BYTES = 50_000_000  # of a file whose content counts for its digest
NEEDED = {  # files without which a folder of the workspace is only half there: one of them
    "runs": ("run.json",),
    "searches": ("state.json", "search.json"),
    "exports": ("model.json",),
    "predictors": ("predictor.json",),
}


def digests(root: Path) -> dict[str, str]:
    """A short digest of every file and folder in a folder, by relative path."""
    found = {}
    for path in walk(root):
        name = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
        if not any(fnmatch(name, pattern) for pattern in PASSING):
            found[name] = _digest(path)
    return found


def walk(root: Path) -> Iterator[Path]:
    """Iterate over everything in a folder; links are not followed."""
    for folder, folders, files in os.walk(root):
        for name in sorted((*folders, *files)):
            yield Path(folder, name)


def _digest(path: Path) -> str:
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            return f"link to {os.fsencode(os.readlink(path))!r}"
        if stat.S_ISDIR(facts.st_mode):
            return "folder"
        if not stat.S_ISREG(facts.st_mode):
            return "special file"
        if facts.st_size > MOST_BYTES:
            return f"{facts.st_size} bytes of {facts.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        return f"unreadable: {error.strerror}"


def changes(before: dict[str, str], after: dict[str, str], allowed: tuple[str, ...]) -> list[str]:
    """What differs between two lists of digests, a phrase each, but for files that may change."""
    found = []
    for name in sorted({*before, *after}):
        if before.get(name) == after.get(name) or any(fnmatch(name, p) for p in allowed):
            continue
        if name not in after:
            found.append(f"{name} is gone")
        elif name not in before:
            found.append(f"{name} is new")
        else:
            found.append(f"{name} has changed")
    return found


def partial(root: Path, before: dict[str, str]) -> list[str]:
    """What came to a folder and is only half there, a sentence each."""
    found = []
    for path in walk(root):
        name = os.fsencode(path.relative_to(root)).decode("utf-8", "backslashreplace")
        if name in before and before[name] == _digest(path):
            continue
        if any(fnmatch(name, pattern) for pattern in PASSING) or path.is_symlink():
            continue
        reason = _half(path)
        if reason:
            found.append(f"{name} {reason}")
    return found


def _half(path: Path) -> str | None:
    """Why a file or folder is only half there; None if it is whole."""
    if path.is_dir():
        if not any(path.iterdir()):
            return "is an empty folder"
        needed = NEEDED.get(path.parent.name, ())
        if needed and not any((path / name).is_file() for name in needed):
            return f"lacks {' and '.join(needed)}"
        return None
    if not path.is_file():
        return None
    if not path.stat().st_size:
        return "is empty"
    if path.name.startswith(".") and path.name.count(".") > 1:
        return "is a temporary file"
    return _damage(path)


def _damage(path: Path) -> str | None:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix in (".pt", ".npz"):
            with zipfile.ZipFile(path) as archive:
                return "is damaged" if archive.testzip() else None
        elif path.suffix == ".sqlite":
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as table:
                verdict = table.execute("PRAGMA quick_check(1)").fetchone()[0]
            return None if verdict == "ok" else f"is damaged: {verdict}"
    except (OSError, ValueError, zipfile.BadZipFile, sqlite3.Error) as error:
        return f"is damaged: {error}"
    return None
