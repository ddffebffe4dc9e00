"""The workspace: the folder that makes the commands chain.

It holds the latency table, predictors, training runs, searches and exports, and remembers which
of each is the latest, and which space, data set and device were used last: defaults of the next
command, never a rule. A profile is of a device; space and data set belong to a training run, and
whatever follows takes them from there. Settings stand in one readable TOML file,
`settings.toml`; every write is atomic, so a killed command leaves the old state or the new one.
Reading never writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import tomlkit

from elasticvit.cpu_setting import DEFAULT_CPU, CpuSetting
from elasticvit.errors import NextStep, WorkspaceError
from elasticvit.files import write_atomic
from elasticvit.names import check_name
from elasticvit.precisions import FP32
from elasticvit.reading import shown
from elasticvit.space import PRESETS, SearchSpace, find_space
from elasticvit.workspace_folders import PLURALS as PLURALS
from elasticvit.workspace_folders import WorkspaceFolders
from elasticvit.workspace_settings import SCHEMA, SETTINGS_FORMAT, WorkspaceSettings

FOLDER = ".evit"
SETTINGS = "settings.toml"
DEFAULT_SPACE = "mobile"
DEFAULT_DATA = "digits"
# what the names of our files and folders begin with
OWN_FILES = (
    *(SETTINGS, "lut.sqlite", "judgements.sqlite", "devices.toml"),
    *("predictors", "runs", "searches", "exports", "timings", "profiles"),
)
BETWEEN = "-threads-"  # threads and cores in the name of a predictor's folder
FLOWS = {"run": "train", "search": "search", "export": "export"}  # that make the folders
NAMES = {"run": "training run", "search": "search", "export": "export"}


@dataclass(frozen=True)
class Workspace(WorkspaceFolders):
    """A workspace folder.

    Attributes:
        root: the folder; by default `.evit` in the current one.
    """

    @classmethod
    def open(cls, root: Path | str | None = None) -> Workspace:
        """The workspace at `root`, which need not exist yet.

        Raises:
            WorkspaceError: the folder holds something else, or settings of a newer version.
        """
        path = Path(root) if root is not None else Path(FOLDER)
        try:
            taken = path.exists() and not path.is_dir()
            names = {p.name for p in path.iterdir()} if path.is_dir() else set()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WorkspaceError(
                f"workspace {shown(str(path))} cannot be read: {reason}; name another folder",
                settings=["workspace"],
            ) from error
        if taken:
            raise WorkspaceError(
                f"workspace {path} is a file; name a folder", settings=["workspace"]
            )
        # a command that was killed in its first seconds leaves our files without settings
        others = {name for name in names if not name.lstrip(".").startswith(OWN_FILES)}
        if SETTINGS not in names and others:
            raise WorkspaceError(
                f"folder {path} is no workspace: it has no {SETTINGS}, but {shown(min(others))}; "
                "name another",
                settings=["workspace"],
            )
        workspace = cls(path)
        workspace.settings()
        return workspace

    @property
    def settings_path(self) -> Path:
        """The file that holds the settings."""
        return self.root / SETTINGS

    def settings(self) -> WorkspaceSettings:
        """What the workspace remembers; nothing before the first command.

        Raises:
            WorkspaceError: The file is damaged, or a later version wrote it.
        """
        if not self.settings_path.exists():
            return WorkspaceSettings()
        return SETTINGS_FORMAT.read_toml(self.settings_path)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change settings, keeping the file's other lines and comments; None removes one.

        Raises:
            FileError: The file cannot be written; it stays as it was.
        """
        path = self.settings_path
        if path.exists():
            document = tomlkit.parse(SETTINGS_FORMAT.read_bytes(path))
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

    def space(
        self, name: str | None = None, notice: Callable[[str], object] | None = None
    ) -> SearchSpace:
        """The named space; without a name the one that was used last, or the paper's.

        A space file that has changed since it was used last describes another space: the file as
        it is now is what is meant, whether it is named or not.

        Args:
            name: Preset, TOML file, or the name of the space that was used last (whose file may
                be gone).
            notice: Receives a sentence if the space differs from the one of its name that was used
                last.

        Raises:
            SpaceError: there is no such space.
        """
        last = self.settings()
        file = last.space_file if last.space_file and Path(last.space_file).exists() else None
        if last.space is None or name not in (None, last.space):
            space = find_space(name or DEFAULT_SPACE)
        else:
            space = find_space(file) if file else self._remembered(last)
        if notice is not None and space.name == last.space:
            before = self._remembered(last)
            if space != before.with_classes(space.layout.classes):
                notice(
                    f"search space {space.name} is another one than when it was used last"
                    + (f": {space.file} has changed" if space.file else "")
                    + "; what was trained with the old one is not gone on with"
                )
        return space

    def _remembered(self, last: WorkspaceSettings) -> SearchSpace:
        """The space that was used last, as it was then."""
        if last.space_definition is None:
            space = find_space(last.space or DEFAULT_SPACE)
        else:
            where = f"{self.settings_path}, space_definition"
            space = SearchSpace.from_toml(tomlkit.dumps(last.space_definition), where)
        if space.name != last.space:
            raise SETTINGS_FORMAT.failure(
                f"{self.settings_path}: space is {shown(last.space)}, but space_definition is "
                f"of {shown(space.name)}; they must be the same"
            )
        # of earlier versions: whole subnets were timed with the classes of the data set in use
        return space if last.classes is None else space.with_classes(last.classes)

    def data(self, spec: str | None = None) -> str:
        """The named data set; without a name the one that was used last, or scikit-learn's
        digits."""
        return spec or self.settings().data or DEFAULT_DATA

    def device(self, name: str | None = None) -> str | None:
        """The named device; without a name the one that was profiled last; None if none was.

        Raises:
            WorkspaceError: The name is none that a device can have.
        """
        device = name or self.settings().device
        return None if device is None else check_name("device", device, WorkspaceError, "device")

    def precision(self, device: str | None, named: str | None = None) -> str:
        """The named precision; without one that which the device was profiled in last, or fp32."""
        last = self.settings().precisions or {}
        return named or last.get(device or "", FP32)

    def cpu_setting(self, device: str) -> CpuSetting | None:
        """Threads and cores that a device was profiled with last; None if that is not known."""
        return (self.settings().cpu_settings or {}).get(device)

    def remember(
        self,
        *,
        space: SearchSpace | None = None,
        data: str | None = None,
        device: str | None = None,
        precision: str = FP32,
        cpu: CpuSetting | None = None,
    ) -> None:
        """Make what was used the default of the commands that follow.

        Args:
            precision: Precision that the device was profiled in.
            cpu: Threads and cores that it was profiled with; None if nobody recorded them.

        Raises:
            FileError: The settings cannot be written; they stay as they were.
        """
        last = self.settings()
        changes: dict[str, Any] = {}
        if space is not None:
            preset = PRESETS.get(space.name)
            own = preset is None or preset != space.with_classes(preset.layout.classes)
            definition = tomlkit.parse(space.to_toml()).unwrap() if own else None
            if (last.space, last.space_definition) != (space.name, definition):
                changes = {"space": space.name, "space_definition": definition, "classes": None}
            changes["space_file"] = space.file if space.file or changes else last.space_file
        changes |= {k: v for k, v in (("data", data), ("device", device)) if v is not None}
        if device is not None and precision != self.precision(device):
            known = {**(last.precisions or {}), device: precision}
            changes["precisions"] = known
        if device is not None and cpu != self.cpu_setting(device):
            settings = {**(last.cpu_settings or {}), device: cpu}
            changes["cpu_settings"] = {
                name: msgspec.to_builtins(one) for name, one in settings.items() if one is not None
            }
        if any(getattr(last, key) != value for key, value in changes.items()):
            self.update(changes)

    @property
    def lut_path(self) -> Path:
        """The latency table of all devices."""
        return self.root / "lut.sqlite"

    @property
    def predictors_path(self) -> Path:
        """The folder with a folder for each device that has predictors."""
        return self.root / "predictors"

    def predictor_path(
        self, device: str, precision: str = FP32, cpu: CpuSetting | None = None
    ) -> Path:
        """Folder of a device's predictor: for fp32 on one thread and cores `auto`, or where nobody
        recorded threads and cores, that of the device, in which all others lie.

        Args:
            cpu: Threads and cores that it is of; None if nobody recorded them.

        Raises:
            WorkspaceError: The name is none that a device can have.
        """
        name = check_name("device", device, WorkspaceError, "device")
        folder = self.predictors_path / name
        folder = folder if precision == FP32 else folder / precision
        if cpu in (None, DEFAULT_CPU):
            return folder
        return folder / f"{cpu.threads}{BETWEEN}{quote(cpu.cores, safe='')}"

    def set_latest(self, kind: str, path: Path) -> None:
        """Remember a folder as the latest of its kind.

        Raises:
            FileError: The settings cannot be written; they stay as they were.
        """
        name = str(path.relative_to(self.root))
        latest = msgspec.to_builtins(self.settings().latest)
        if latest[kind] != name:
            known = {k: v for k, v in latest.items() if v is not None}
            self.update({"latest": {**known, kind: name}})

    def latest(self, kind: str) -> Path:
        """The latest `run`, `search` or `export` folder.

        Raises:
            WorkspaceError: there is none; the flow that makes one is named.
        """
        step = NextStep(FLOWS[kind])
        name: str | None = getattr(self.settings().latest, kind)
        if name is None:
            raise WorkspaceError(
                f"no {NAMES[kind]} in workspace {self.root} yet; make one first", next_step=step
            )
        path = self.root / name
        base = self.root / PLURALS[kind]
        if path.parent.resolve() != base.resolve() or path.name in ("", ".", ".."):
            raise SETTINGS_FORMAT.failure(
                f"{self.settings_path}: latest.{kind} is {shown(name)}; it must be a folder in "
                f"{base}"
            )
        if not path.is_dir():
            raise WorkspaceError(f"{path} is gone; make another {NAMES[kind]}", next_step=step)
        return path
