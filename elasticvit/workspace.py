"""The workspace: the folder that makes the four commands chain.

A workspace has one space and one data set, set by the command that first names them. It
holds the latency table, predictors, training runs, searches and exports, and remembers which
of each is the latest. Its settings stand in one readable TOML file, `settings.toml`; every
write is atomic, so a killed command leaves the old state or the new one.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from elasticvit.errors import WorkspaceError
from elasticvit.space import PRESETS, SearchSpace, find_space

SCHEMA = 1
FOLDER = ".evit"
SETTINGS = "settings.toml"
KINDS = {"run": "evit-train", "search": "evit-search --target-ms N", "export": "evit-export"}
PLURALS = {"run": "runs", "search": "searches", "export": "exports"}  # names of their folders


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = data.encode() if isinstance(data, str) else data
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
            raise WorkspaceError(f"workspace {path} is a file; name a folder with --workspace")
        if path.is_dir() and any(path.iterdir()) and not (path / SETTINGS).exists():
            raise WorkspaceError(
                f"folder {path} is not empty and not a workspace (no {SETTINGS}); name another "
                "with --workspace"
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
                "update elasticvit or name another folder with --workspace"
            )
        return data

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change settings, keeping the file's other lines and comments.

        A value that is a table is merged into the table of that name.
        """
        path = self.root / SETTINGS
        if path.exists():
            document = tomlkit.parse(path.read_text())
        else:
            document = tomlkit.document()
            document.add(tomlkit.comment("elasticvit workspace; written by the evit commands"))
            document["schema"] = SCHEMA
        for key, value in changes.items():
            if isinstance(value, Mapping) and key in document:
                document[key].update(value)
            else:
                document[key] = value
        write_atomic(path, tomlkit.dumps(document))

    def choose_space(self, name: str | None, default: str = "mobile") -> SearchSpace:
        """The workspace's space, set to `name` (or the default) if none was chosen yet.

        The classes are those of the workspace's data set once it is known (`choose_data`).

        Raises:
            WorkspaceError: another space is in use here.
            SpaceError: no such space.
        """
        settings = self.settings()
        current = settings.get("space")
        if current is None:
            space = find_space(name or default)
            changes: dict[str, Any] = {"space": space.name}
            if PRESETS.get(space.name) != space:
                changes["space_definition"] = tomlkit.parse(space.to_toml()).unwrap()
            self.update(changes)
            settings |= changes
        elif name is not None and name != current and find_space(name).name != current:
            raise WorkspaceError(
                f"this workspace uses space {current!r}, not {name!r}; a workspace has one: "
                "leave --space out, or start another with --workspace DIR"
            )
        if "space_definition" in settings:
            space = SearchSpace.from_toml(
                tomlkit.dumps(settings["space_definition"]), f"{self.root / SETTINGS}"
            )
        else:
            space = find_space(settings["space"])
        classes = settings.get("classes")
        return space if classes is None else space.with_classes(int(classes))

    def choose_data(self, data: str, classes: int) -> None:
        """Set the data set and its number of classes; does nothing when they are the same.

        Raises:
            WorkspaceError: another data set is in use here.
        """
        current = self.settings().get("data")
        if current is None:
            self.update({"data": data, "classes": classes})
        elif current != data:
            raise WorkspaceError(
                f"this workspace uses data {current!r}, not {data!r}; a workspace has one: "
                "leave --data out, or start another with --workspace DIR"
            )

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

    def folders(self, kind: str) -> list[Path]:
        """All `run`, `search` or `export` folders, oldest first."""
        base = self.root / PLURALS[kind]
        return sorted(p for p in base.iterdir() if p.is_dir()) if base.is_dir() else []

    def set_latest(self, kind: str, path: Path) -> None:
        """Remember a folder as the latest of its kind."""
        self.update({"latest": {kind: str(path.relative_to(self.root))}})

    def latest(self, kind: str) -> Path:
        """The latest `run`, `search` or `export` folder.

        Raises:
            WorkspaceError: there is none yet; the command that makes one is named.
        """
        name = self.settings().get("latest", {}).get(kind)
        if name is None:
            raise WorkspaceError(
                f"no {kind} in workspace {self.root} yet; run `{KINDS[kind]}` first"
            )
        path: Path = self.root / name
        if not path.is_dir():
            raise WorkspaceError(f"{path} is gone; run `{KINDS[kind]}` again")
        return path
