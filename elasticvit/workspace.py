"""The workspace: the folder that makes the commands chain.

It holds the latency table, predictors, training runs, searches and exports, and remembers which
of each is the latest, and which space, data set and device were used last: defaults of the next
command, never a rule. A profile is of a device; space and data set belong to a training run, and
whatever follows takes them from there. Settings stand in one readable TOML file,
`settings.toml`; every write is atomic, so a killed command leaves the old state or the new one.
Reading never writes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from elasticvit.errors import NextStep, WorkspaceError
from elasticvit.files import write_atomic
from elasticvit.space import PRESETS, SearchSpace, find_space

SCHEMA = 1
FOLDER = ".evit"
SETTINGS = "settings.toml"
DEFAULT_SPACE = "mobile"
DEFAULT_DATA = "digits"
FLOWS = {"run": "train", "search": "search", "export": "export"}  # that make the folders
NAMES = {"run": "training run", "search": "search", "export": "export"}
PLURALS = {"run": "runs", "search": "searches", "export": "exports"}  # names of their folders


@dataclass(frozen=True)
class Workspace:
    """A workspace folder.

    Attributes:
        root: the folder; by default `.evit` in the current one.
    """

    root: Path

    @classmethod
    def open(cls, root: Path | str | None = None) -> Workspace:
        """The workspace at `root`, which need not exist yet.

        Raises:
            WorkspaceError: the folder holds something else, or settings of a newer version.
        """
        path = Path(root) if root is not None else Path(FOLDER)
        if path.exists() and not path.is_dir():
            raise WorkspaceError(
                f"workspace {path} is a file; name a folder", settings=["workspace"]
            )
        if path.is_dir() and any(path.iterdir()) and not (path / SETTINGS).exists():
            raise WorkspaceError(
                f"folder {path} is not empty and not a workspace (no {SETTINGS}); name another",
                settings=["workspace"],
            )
        workspace = cls(path)
        workspace.settings()
        return workspace

    def settings(self) -> dict[str, Any]:
        """All settings as plain values; empty before the first command."""
        path = self.root / SETTINGS
        if not path.exists():
            return {}
        try:
            data: dict[str, Any] = tomlkit.parse(path.read_text()).unwrap()
        except (OSError, UnicodeDecodeError, TOMLKitError) as error:
            raise WorkspaceError(
                f"{path} cannot be read: {error}; mend it or move {self.root} away"
            ) from error
        if data.get("schema") != SCHEMA:
            raise WorkspaceError(
                f"{path} has schema {data.get('schema')!r}, this version reads {SCHEMA}; "
                "update elasticvit or name another folder",
                settings=["workspace"],
            )
        return data

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change settings, keeping the file's other lines and comments; None removes one."""
        path = self.root / SETTINGS
        if path.exists():
            document = tomlkit.parse(path.read_text())
        else:
            document = tomlkit.document()
            document.add(tomlkit.comment("elasticvit workspace; written by the evit commands"))
            document["schema"] = SCHEMA
        for key, value in changes.items():
            if value is None:
                document.pop(key, None)
            else:
                document[key] = value
        write_atomic(path, tomlkit.dumps(document))

    def space(self, name: str | None = None) -> SearchSpace:
        """The named space; without a name the one that was used last, or the paper's.

        Args:
            name: Preset, TOML file, or the name of the space that was used last (whose file may
                be gone).

        Raises:
            SpaceError: there is no such space.
        """
        settings = self.settings()
        last = settings.get("space")
        if last is None or name not in (None, last):
            return find_space(name or DEFAULT_SPACE)
        definition = settings.get("space_definition")
        if definition is None:
            space = find_space(last)
        else:
            space = SearchSpace.from_toml(tomlkit.dumps(definition), f"{self.root / SETTINGS}")
        # of earlier versions: whole subnets were timed with the classes of the data set in use
        classes = settings.get("classes")
        return space if classes is None else space.with_classes(int(classes))

    def data(self, spec: str | None = None) -> str:
        """The named data set; without a name the one that was used last, or scikit-learn's
        digits."""
        return str(spec or self.settings().get("data", DEFAULT_DATA))

    def device(self, name: str | None = None) -> str | None:
        """The named device; without a name the one that was profiled last; None if none was."""
        return name or self.settings().get("device")

    def remember(
        self,
        *,
        space: SearchSpace | None = None,
        data: str | None = None,
        device: str | None = None,
    ) -> None:
        """Make what was used the default of the commands that follow."""
        changes: dict[str, Any] = {}
        settings = self.settings()
        if space is not None:
            preset = PRESETS.get(space.name)
            own = preset is None or preset != space.with_classes(preset.layout.classes)
            definition = tomlkit.parse(space.to_toml()).unwrap() if own else None
            last = settings.get("space"), settings.get("space_definition")
            if last != (space.name, definition):
                changes = {"space": space.name, "space_definition": definition, "classes": None}
        changes |= {k: v for k, v in (("data", data), ("device", device)) if v is not None}
        if any(settings.get(key) != value for key, value in changes.items()):
            self.update(changes)

    @property
    def lut_path(self) -> Path:
        """The latency table of all devices."""
        return self.root / "lut.sqlite"

    def predictor_path(self, device: str) -> Path:
        """Folder of a device's predictor."""
        return self.root / "predictors" / device

    def new_folder(self, kind: str) -> Path:
        """A fresh folder for a `run`, `search` or `export`, named after the time."""
        base = self.root / PLURALS[kind] / time.strftime("%Y%m%d-%H%M%S")
        path, number = base, 1
        while path.exists():
            number += 1
            path = base.with_name(f"{base.name}-{number}")
        path.mkdir(parents=True)
        return path

    @contextmanager
    def nothing_left_behind(self, path: Path, keep: str) -> Iterator[Path]:
        """Remove a folder if the work in it fails before there is anything to go on with.

        Args:
            path: A folder in the workspace.
            keep: Name of the file that makes the folder worth keeping.
        """
        try:
            yield path
        except BaseException:
            if not (path / keep).exists():
                shutil.rmtree(path, ignore_errors=True)
                self.prune(path.parent)
            raise

    def prune(self, folder: Path | None = None) -> None:
        """Remove a folder of the workspace, and those around it, as far as they are empty."""
        folder = folder or self.root
        while folder.is_relative_to(self.root) and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def folders(self, kind: str) -> list[Path]:
        """All `run`, `search` or `export` folders, oldest first."""
        base = self.root / PLURALS[kind]
        return sorted(p for p in base.iterdir() if p.is_dir()) if base.is_dir() else []

    def set_latest(self, kind: str, path: Path) -> None:
        """Remember a folder as the latest of its kind."""
        latest = {**self.settings().get("latest", {}), kind: str(path.relative_to(self.root))}
        self.update({"latest": latest})

    def latest(self, kind: str) -> Path:
        """The latest `run`, `search` or `export` folder.

        Raises:
            WorkspaceError: there is none; the flow that makes one is named.
        """
        step = NextStep(FLOWS[kind])
        name = self.settings().get("latest", {}).get(kind)
        if name is None:
            raise WorkspaceError(
                f"no {NAMES[kind]} in workspace {self.root} yet; make one first", next_step=step
            )
        path: Path = self.root / name
        if not path.is_dir():
            raise WorkspaceError(f"{path} is gone; make another {NAMES[kind]}", next_step=step)
        return path
