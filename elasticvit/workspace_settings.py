"""What a workspace remembers between commands: the content of its `settings.toml`."""

from __future__ import annotations

from typing import Any

import msgspec

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import WorkspaceError
from elasticvit.precisions import Precision
from elasticvit.reading import Format, Whole

SCHEMA = 1


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """The latest folder of each kind, relative to the workspace."""

    run: str | None = None
    search: str | None = None
    export: str | None = None


class WorkspaceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace remembers, as `settings.toml` holds it; None is not known yet.

    Attributes:
        space: Name of the search space that was used last.
        space_definition: That space in the form of `SearchSpace.to_toml`, unless it is a preset.
        space_file: Path of the TOML file that it was read from.
        classes: Number of classes of the data set in use; written by earlier versions.
        data: Canonical spec of the data set that was used last.
        device: Name of the device that was profiled last.
        precisions: Precision that each device was profiled in last, by its name; fp32 where there
            is none.
        cpu_settings: Threads and cores that each device was profiled with last, by its name.
        runner: Path of the program that times models on phones.
        latest: The latest folder of each kind.
    """

    space: str | None = None
    space_definition: dict[str, Any] | None = None
    space_file: str | None = None
    classes: Whole | None = None
    data: str | None = None
    device: str | None = None
    precisions: dict[str, Precision] | None = None
    cpu_settings: dict[str, CpuSetting] | None = None
    runner: str | None = None
    latest: Latest = msgspec.field(default_factory=Latest)


SETTINGS_FORMAT = Format(
    kind=WorkspaceSettings,
    what="the settings of a workspace",
    error=WorkspaceError,
    mend="correct the file, or move the workspace away",
    settings=("workspace",),
    schema=SCHEMA,
)
