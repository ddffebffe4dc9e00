"""Paths that a flow is given to write to, checked before the work, and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elasticvit.errors import FileError, SettingError
from elasticvit.files import writing
from elasticvit.reading import shown


def check_path(setting: str, value: Any) -> None:
    """Check a setting that is a path; None is allowed.

    Raises:
        SettingError: It is empty, of another type, or holds a null character.
    """
    if value is None:
        return
    if not isinstance(value, str | Path) or value == "" or "\0" in str(value):
        raise SettingError(
            f"{setting} is {shown(value)}; it must be a path without null characters, and not "
            "empty",
            settings=[setting],
        )


def check_parent(setting: str, path: Path) -> None:
    """Check that the folder around a path exists.

    Raises:
        SettingError: There is no such folder.
        FileError: The folder cannot be looked up.
    """
    with writing(path):
        there = path.parent.is_dir()
    if not there:
        raise SettingError(
            f"{setting} is {path}: there is no folder {path.parent}; make that folder first, or "
            "name another path",
            settings=[setting],
        )


def check_writable(path: Path) -> None:
    """Check before long work that a file or folder can be made at a path, as far as the permissions
    tell.

    Raises:
        FileError: The nearest folder that exists cannot be written to.
    """
    with writing(path):
        folder = path
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
    if not os.access(folder, os.W_OK):
        raise FileError(
            f"{path} cannot be written: folder {folder} is read-only for this user; get the "
            "permission to write there, or choose another folder, then repeat this"
        )


def path_text(path: Path) -> str:
    """A path as text that every file can hold; bytes that are no UTF-8 become question marks."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace")


@contextmanager
def kept(what: str, settings: tuple[str, ...] = ()) -> Iterator[None]:
    """Say what is complete all the same if something else cannot be written.

    Args:
        what: What is complete, such as `the model is kept at PATH`.
        settings: Settings of the flow that name another place.

    Raises:
        FileError: The work inside raised one.
    """
    try:
        yield
    except FileError as error:
        raise FileError(f"{error} ({what})", settings=settings) from error
