"""The folders that flows leave in a workspace, named after the time, and whole or not there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import WorkspaceError
from elasticvit.files import make_folder, writing

PLURALS = {
    "run": "runs",
    "search": "searches",
    "export": "exports",
    "timing": "timings",
}  # names of their folders
UNFINISHED = ".unfinished-"  # beginning of the name of a folder that is still written to


@dataclass(frozen=True)
class WorkspaceFolders:
    """The folders in a workspace.

    Attributes:
        root: Folder of the workspace.
    """

    root: Path

    def new_folder(self, kind: str) -> Path:
        """A fresh folder for a `run`, `search`, `export` or `timing`, named after the time.

        Raises:
            FileError: It cannot be made.
        """
        return self._named(kind, Path.mkdir)

    def _named(self, kind: str, take: Callable[[Path], object]) -> Path:
        """A fresh folder of a kind, named after the time.

        Args:
            take: Makes the folder of a name; raises `FileExistsError` where there is one, as
                another process may make it in the same second.

        Raises:
            FileError: It cannot be made.
        """
        base = self.root / PLURALS[kind] / time.strftime("%Y%m%d-%H%M%S")
        make_folder(base.parent)
        path, number = base, 1
        with writing(base):
            while True:
                try:
                    take(path)
                    return path
                except FileExistsError:
                    number += 1
                    path = base.with_name(f"{base.name}-{number}")

    @contextmanager
    def whole_folder(self, kind: str) -> Iterator[Path]:
        """A hidden folder that becomes a fresh one of a kind when the work in it is done, so that
        a folder with a name of its own is complete, whenever a process is killed.

        Yields the hidden folder; `place` moves it.

        Raises:
            FileError: It cannot be made.
        """
        around = make_folder(self.root / PLURALS[kind])
        with writing(around):
            hidden = Path(tempfile.mkdtemp(dir=around, prefix=UNFINISHED))
            hidden.chmod(0o755)
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
            self.prune(around)

    def place(self, kind: str, hidden: Path) -> Path:
        """Give a folder of `whole_folder` a name of its own, at once; returns the new path.

        Raises:
            FileError: It cannot be moved.
        """

        def move(path: Path) -> None:
            if path.exists():
                raise FileExistsError(path)
            hidden.rename(path)

        return self._named(kind, move)

    @contextmanager
    def nothing_left_behind(self, path: Path, keep: str | Callable[[Path], bool]) -> Iterator[Path]:
        """Remove a folder if the work in it fails before there is anything to go on with.

        Args:
            path: A folder in the workspace.
            keep: Name of the file that makes the folder worth keeping, or function that says
                whether it is.
        """
        try:
            yield path
        except BaseException:
            if not (keep(path) if callable(keep) else (path / keep).exists()):
                shutil.rmtree(path, ignore_errors=True)
                self.prune(path.parent)
            raise

    def prune(self, folder: Path | None = None) -> None:
        """Remove a folder of the workspace, and those around it, as far as they are empty."""
        folder = folder or self.root
        with suppress(OSError):  # what cannot be removed stays
            while folder.is_relative_to(self.root) and folder.is_dir():
                folder.rmdir()  # fails unless it is empty
                folder = folder.parent

    def folders(self, kind: str) -> list[Path]:
        """All `run`, `search` or `export` folders, oldest first.

        Raises:
            WorkspaceError: They cannot be listed.
        """
        base = self.root / PLURALS[kind]
        try:
            if not base.is_dir():
                return []
            return sorted(p for p in base.iterdir() if p.is_dir() and p.name[0] != ".")
        except OSError as error:
            raise WorkspaceError(
                f"{base} cannot be read: {error.strerror}; name another workspace",
                settings=["workspace"],
            ) from error
