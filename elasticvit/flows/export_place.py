"""Where an export reads and writes: a workspace, folders that were named, or beside a path."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import EvitError, ExportError, SettingError
from elasticvit.files import write_atomic
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.places import check_parent, check_writable, kept
from elasticvit.flows.settings import WorkspaceLike, workspace_of
from elasticvit.process_lock import process_lock
from elasticvit.workspace import SETTINGS, Workspace
from export.bundle import (
    CARD_FILE,
    file_names,
    proof_path,
    rejected_path,
    write_bundle,
    write_files,
)
from export.bundle_guard import check_extras, check_other, check_replaceable
from export.card import CARD_FORMAT, Card

if TYPE_CHECKING:
    from export.backend import Backend


@dataclass(frozen=True, kw_only=True)
class ExportPlace:
    """Where an export reads and writes.

    Attributes:
        search: Folder of the search; None if the network is of none.
        workspace: Workspace for the bundle, the latency table and the user's devices; None if
            there is none and none is needed.
        folder: Folder of the bundle; None for a new one in the workspace.
        out: Another path for the model; None for none.
        beside: Whether the bundle lies beside the model at `out`.
    """

    search: Path | None
    workspace: Workspace | None
    folder: Path | None
    out: Path | None
    beside: bool

    @classmethod
    def of(
        cls, settings: ExportSettings, workspace: WorkspaceLike, backends: Sequence[Backend]
    ) -> ExportPlace:
        """The place that settings name.

        Args:
            settings: Settings of the flow.
            workspace: The workspace that was named; None if none was.
            backends: The export formats.

        Raises:
            SettingError: The suffix of `out` is not the one of the format, the folder around it
                is missing, or `out` is one file and the formats are several.
            WorkspaceError: The workspace is foreign, or has no search.
            ExportError: Something else than an earlier export would be overwritten.
            FileError: The place cannot be written to.
        """
        out, backend = None if settings.out is None else Path(settings.out), backends[0]
        if out is not None and len(backends) > 1:
            raise SettingError(
                f"out is {out}, one file, and there are {len(backends)} formats; name a folder "
                "for all of them, or one format",
                settings=["out", "folder", "format"],
            )
        if out is not None and out.suffix != backend.suffix:
            raise SettingError(
                f"out is {out}: format {backend.name} makes {backend.suffix} files; name it "
                f"{out.with_suffix(backend.suffix)}, or choose another format",
                settings=["out", "format"],
            )
        folder = None if settings.folder is None else Path(settings.folder)
        search = settings.search_folder
        named = search is not None or settings.outside is not None
        found = None if workspace is None and named else workspace_of(workspace)
        beside = found is None and folder is None and out is not None
        if found is None and search is not None:
            found = _workspace_around(search)
        if found is None and folder is None and not beside:
            found = workspace_of(None)
        if not named:
            assert found is not None
            search = found.latest("search")
        place = cls(search=search, workspace=found, folder=folder, out=out, beside=beside)
        place._check(file_names([(one.name, one.suffix) for one in backends]))
        return place

    def _check(self, files: Sequence[str]) -> None:
        """Check before the work that all can be written, and nothing else would be lost."""
        exported = _exported(self.workspace) if self.out is not None else set()
        if self.out is not None:
            check_parent("out", self.out)
            check_writable(self.out.parent)
            check_replaceable(self.out, exported, alone=not self.beside)
            if self.beside:
                check_extras(self.out.parent, proof_path(self.out).name, ())
        if self.folder is not None:
            check_parent("folder", self.folder)
            check_writable(self.folder)
            first, *others = files
            check_replaceable(self.folder / first, exported, alone=False)
            for file in others:
                check_other(self.folder / file, exported)
            check_extras(self.folder)
        elif not self.beside:
            assert self.workspace is not None
            check_writable(self.workspace.root)

    def file_names(self, backends: Sequence[Backend]) -> list[str]:
        """Names of the model's files, one for each format."""
        if self.beside:
            assert self.out is not None
            return [self.out.name]
        return file_names([(one.name, one.suffix) for one in backends])

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from exporting to the same paths while the context lasts; a new
        folder in the workspace is nobody else's.

        Raises:
            ExportError: Another process exports there.
        """
        with ExitStack() as stack:
            for path in (self.out, self.folder):
                if path is not None:
                    busy = (
                        f"process {{process}} exports to {path} just now; wait until it has "
                        "ended, or name another path"
                    )
                    stack.enter_context(process_lock(_lock_path(path), ExportError, busy))
            yield

    def write(
        self, files: Sequence[tuple[bytes, Card]], extras: Mapping[str, bytes]
    ) -> tuple[Path, Path]:
        """Write the bundle, and the model to `out`; the bundle's folder and the first model's path.

        Args:
            files: Content and card of each file; beside a path there is one, of that name.
            extras: Content of further files, by name.

        Raises:
            FileError: A file cannot be written; what is complete is named.
        """
        data, card = files[0]
        if self.beside or self.folder is not None:
            folder = self.folder
            if folder is None:
                assert self.out is not None
                folder = self.out.parent
            write_files(folder, files, extras)
        else:
            assert self.workspace is not None
            with self.workspace.whole_folder("export") as hidden:
                write_files(hidden, files, extras)
                folder = self.workspace.place("export", hidden)
        model = folder / card.file
        with kept(f"the model is kept at {model}", ("out",)):
            if self.folder is None and not self.beside:
                assert self.workspace is not None
                self.workspace.set_latest("export", folder)
            if self.out is None or self.beside:
                return folder, model
            write_atomic(self.out, data)
        return folder, self.out

    def write_rejected(self, data: bytes, card: Card) -> Path:
        """Write a model whose accuracy is too low, with its card, under a name that says so; its
        path.

        Raises:
            ExportError: Something is there that no export is known to have written.
            FileError: A file cannot be written.
        """
        file = Path(card.file)
        named = rejected_path(file)
        folder = self.out.parent if self.beside and self.out is not None else self.folder
        if folder is not None:
            if _in_the_way(folder / named):  # such as the refused file of another format
                named = rejected_path(Path(f"{file.stem}.{card.format}{file.suffix}"))
            check_replaceable(folder / named, set(), alone=False)
            return write_bundle(folder, data, replace(card, file=named.name))
        assert self.workspace is not None
        with self.workspace.whole_folder("export") as hidden:
            write_bundle(hidden, data, replace(card, file=named.name))
            return self.workspace.place("export", hidden) / named


def _exported(workspace: Workspace | None) -> set[str]:
    """SHA-256 of the models that were exported into a workspace."""
    found = set()
    for folder in [] if workspace is None else workspace.folders("export"):
        try:
            found.add(CARD_FORMAT.read_json(folder / CARD_FILE).sha256)
        except EvitError:  # damaged, so that nothing is known of it
            continue
    return found


def _in_the_way(path: Path) -> bool:
    """Whether something is at a model's path, or at its card's, that must not be replaced."""
    try:
        check_replaceable(path, set(), alone=False)
    except ExportError:
        return True
    return False


def _lock_path(path: Path) -> Path:
    """File of the lock on a path: beside those of devices, as it would be in the way beside a
    model."""
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"elasticvit-{os.getuid()}-export-{digest}.lock"


def _workspace_around(search: Path) -> Workspace | None:
    """The workspace that a search's folder lies in; None if it lies in none."""
    root = search.resolve().parent.parent
    return Workspace.open(root) if (root / SETTINGS).is_file() else None
