"""What was asked of a flow whose work can be interrupted, so that it can be asked again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import msgspec

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError
from elasticvit.files import write_atomic
from elasticvit.reading import Format
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

ASKED_FILE = "asked.json"  # in the folder of the work
SCHEMA = 1


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked.

    Attributes:
        settings: The settings, by name.
        ended_s: Time of the end, in seconds since the epoch; None before.
    """

    schema: int = SCHEMA
    settings: dict[str, Any]
    ended_s: float | None = None


ASKED_FORMAT = Format(
    kind=Asked,
    what="the settings that were asked for",
    error=CheckpointError,
    mend="remove the file",
    schema=SCHEMA,
)


def asked_of(settings: Any) -> dict[str, Any]:
    """The settings of a flow that are not its defaults, JSON-ready; without those that are no
    texts, numbers, paths, architectures or spaces, as predictors are.

    Args:
        settings: Settings of a flow, a dataclass.
    """
    found = {}
    for field in fields(settings):
        value = getattr(settings, field.name)
        usual = value == field.default or (field.default is None and value in ((), [], {}))
        if not usual:
            try:
                found[field.name] = _plain(value)
            except TypeError:
                continue
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Path | Arch):
        return str(value)
    if isinstance(value, SearchSpace):
        return space_text(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    raise TypeError(type(value))


def space_text(space: SearchSpace) -> str:
    """What a space is named by: its file, or else its name."""
    return str(space.file or space.name)


def profile_path(workspace: Workspace, device: str) -> Path:
    """File with what was asked of a profile that is under way, or was interrupted."""
    return workspace.root / "profiles" / f"{device}.json"


def write_asked(path: Path, asked: Mapping[str, Any]) -> None:
    """Write what was asked.

    Raises:
        FileError: The file cannot be written.
    """
    plain = msgspec.to_builtins(Asked(settings=dict(asked)))
    write_atomic(path, json.dumps(plain, indent=2) + "\n")


def note_end(path: Path) -> None:
    """Note in the file of what was asked that the work has ended now.

    Raises:
        FileError: The file cannot be written.
    """
    asked = read_asked(path)
    if asked is not None:
        plain = msgspec.to_builtins(msgspec.structs.replace(asked, ended_s=time.time()))
        write_atomic(path, json.dumps(plain, indent=2) + "\n")


def read_asked(path: Path) -> Asked | None:
    """What was asked; None where an earlier version began the work.

    Raises:
        CheckpointError: The file is damaged.
    """
    return ASKED_FORMAT.read_json(path) if path.exists() else None
