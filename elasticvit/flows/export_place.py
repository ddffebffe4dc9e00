"""Where an export reads and writes: a workspace, folders that were named, or beside a path."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import ExportError, SettingError
from elasticvit.files import write_atomic
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.settings import WorkspaceLike, workspace_of
from elasticvit.workspace import SETTINGS, Workspace
from export.bundle import CARD_FILE, Card, write_bundle

if TYPE_CHECKING:
    from export.backend import Backend


@dataclass(frozen=True, kw_only=True)
class ExportPlace:
    """Where an export reads and writes.

    Attributes:
        search: Folder of the search.
        workspace: Workspace for the bundle, the latency table and the user's devices; None if
            there is none and none is needed.
        folder: Folder of the bundle; None for a new one in the workspace.
        out: Another path for the model; None for none.
        beside: Whether the bundle lies beside the model at `out`.
    """

    search: Path
    workspace: Workspace | None
    folder: Path | None
    out: Path | None
    beside: bool

    @classmethod
    def of(
        cls, settings: ExportSettings, workspace: WorkspaceLike, backend: Backend
    ) -> ExportPlace:
        """The place that settings name.

        Args:
            settings: Settings of the flow.
            workspace: The workspace that was named; None if none was.
            backend: The export format.

        Raises:
            SettingError: The suffix of `out` is not the one of the format.
            WorkspaceError: The workspace is foreign, or has no search.
        """
        out = None if settings.out is None else Path(settings.out)
        if out is not None and out.suffix != backend.suffix:
            raise SettingError(
                f"out is {out}: format {backend.name} makes {backend.suffix} files; name it "
                f"{out.with_suffix(backend.suffix)}, or choose another format",
                settings=["out", "format"],
            )
        folder = None if settings.folder is None else Path(settings.folder)
        search = settings.search_folder
        found = None if workspace is None and search is not None else workspace_of(workspace)
        beside = found is None and folder is None and out is not None
        if found is None and search is not None:
            found = _workspace_around(search)
        if found is None and folder is None and not beside:
            found = workspace_of(None)
        if search is None:
            assert found is not None
            search = found.latest("search")
        return cls(search=search, workspace=found, folder=folder, out=out, beside=beside)

    def write(self, data: bytes, card: Card) -> tuple[Path, Path, Card]:
        """Write the bundle, and the model to `out`; the bundle's folder, the model's path, and
        the card with the file's name.

        Raises:
            ExportError: A file cannot be written.
        """
        folder, new = self.folder, self.folder is None and not self.beside
        if self.beside:
            assert self.out is not None
            folder, card = self.out.parent, replace(card, file=self.out.name)
        elif folder is None:
            assert self.workspace is not None
            folder = self.workspace.new_folder("export")
        try:
            with ExitStack() as stack:
                if new:
                    assert self.workspace is not None
                    stack.enter_context(self.workspace.nothing_left_behind(folder, keep=CARD_FILE))
                model = write_bundle(folder, data, card)
        except OSError as error:
            raise ExportError(
                f"{folder / card.file} cannot be written: {error.strerror}; name another place",
                settings=["out", "folder"],
            ) from error
        if new:
            assert self.workspace is not None
            self.workspace.set_latest("export", folder)
        if self.out is None or self.beside:
            return folder, model, card
        try:
            write_atomic(self.out, data)
        except OSError as error:
            raise ExportError(
                f"{self.out} cannot be written: {error.strerror} (the model is kept at {model}); "
                "name another place",
                settings=["out"],
            ) from error
        return folder, self.out, card


def _workspace_around(search: Path) -> Workspace | None:
    """The workspace that a search's folder lies in; None if it lies in none."""
    root = search.resolve().parent.parent
    return Workspace.open(root) if (root / SETTINGS).is_file() else None
