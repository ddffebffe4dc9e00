"""What all flows share: resolving settings, workspace and space, and checks of single values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from elasticvit.errors import SettingError
from elasticvit.events import EventHandler, Notice
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

S = TypeVar("S")
LONGEST_MINUTES = 7 * 24 * 60
WorkspaceLike = Workspace | Path | str | None


def settings_of(kind: type[S], given: S | None, changes: Mapping[str, Any]) -> S:
    """The settings of a flow: those given, or the defaults, with single ones changed by name.

    Raises:
        TypeError: The flow has no setting of a name in `changes`.
        SettingError: A value is out of range or contradicts another setting.
    """
    if given is None:
        return kind(**changes)
    return replace(given, **changes)  # type: ignore[type-var]


def workspace_of(workspace: WorkspaceLike) -> Workspace:
    """The workspace itself, the one at a path, or by default `.evit` in the current folder.

    Raises:
        WorkspaceError: The folder holds something else, or settings of a newer version.
    """
    return workspace if isinstance(workspace, Workspace) else Workspace.open(workspace)


def space_of(
    workspace: Workspace, space: SearchSpace | str | None, events: EventHandler | None = None
) -> SearchSpace:
    """The space itself, the one of a name or TOML file, or by default the workspace's last one.

    Args:
        events: Receives a warning if it is another one than the space of its name that was used
            last.

    Raises:
        SpaceError: There is no such search space.
    """
    if isinstance(space, SearchSpace):
        return space
    if events is None:
        return workspace.space(space)
    return workspace.space(space, lambda text: events(Notice(text=text, warning=True)))


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """The value of a setting as an `int`; numpy's integers are accepted, truth values are not.

    Raises:
        SettingError: The value is no whole number from `least` to `most`.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not least <= value <= (math.inf if most is None else most):
        upper = "" if most is None else f" to {most:,}"
        raise SettingError(
            f"{name} is {shown(value)}; it must be a whole number from {least}{upper}",
            settings=[name],
        )
    return int(value)


def check_ranges(settings: Any, ranges: Mapping[str, tuple[int, int]]) -> None:
    """Check whole-number settings against their least and greatest value, and store them as `int`.

    None is allowed where it is the default.

    Raises:
        SettingError: A value is no whole number within its range.
    """
    defaults = {field.name: field.default for field in fields(settings)}
    for name, (least, most) in ranges.items():
        value = getattr(settings, name)
        if value is not None or defaults[name] is not None:
            object.__setattr__(settings, name, check_whole(name, value, least, most))


def check_real(
    name: str,
    value: Any,
    least: float,
    most: float,
    unit: str = "",
    *,
    setting: str | None = None,
) -> None:
    """Check a setting that is a real number; None is allowed.

    Args:
        setting: Name of the setting; `name`, which the message says, by default.

    Raises:
        SettingError: The value is no finite number from `least` to `most`.
    """
    real = isinstance(value, Real) and not isinstance(value, bool)
    if value is not None and not (real and least <= float(value) <= most):
        rule = f"it must be a number from {least:g} to {most:,g} {unit}".rstrip()
        raise SettingError(f"{name} is {shown(value)}; {rule}", settings=[setting or name])


def check_minutes(name: str, value: Any, least: float) -> None:
    """Check a time budget in minutes, at most a week; None is no budget.

    Raises:
        SettingError: The value is no finite number from `least` to `LONGEST_MINUTES`.
    """
    check_real(name, value, least, LONGEST_MINUTES, "minutes")


def device_names(device: str | Sequence[str] | None) -> tuple[str, ...]:
    """The device names of a setting: one text, several, or None for no device."""
    if device is None:
        return ()
    return (device,) if isinstance(device, str) else tuple(device)


def check_distinct(setting: str, names: Sequence[str]) -> None:
    """Check that no device is named twice in a setting.

    Raises:
        SettingError: A name is there twice.
    """
    if len(set(names)) < len(names):
        raise SettingError(
            f"{setting} is {', '.join(names)}: one is named twice; name each device once",
            settings=[setting],
        )
