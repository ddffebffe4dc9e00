"""What other packages add, by the entry points that they declare.

A package adds a device, an export format or a search space under a name of one of the groups
below, in its `pyproject.toml`:

    [project.entry-points."elasticvit.devices"]
    mydevice = "mypackage.device:open_device"

Nothing of it is imported before it is asked for by that name.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from elasticvit.errors import EvitError

DEVICES = "elasticvit.devices"
FORMATS = "elasticvit.formats"
SPACES = "elasticvit.spaces"


def plugin_names(group: str) -> tuple[str, ...]:
    """The names that other packages have added to a group, sorted."""
    return tuple(sorted({entry.name for entry in entry_points(group=group)}))


def declared_by(group: str, name: str) -> list[str]:
    """Packages that have added a name to a group, with what it names; nothing is imported."""
    return sorted(_origin(entry) for entry in entry_points(group=group, name=name))


def load_plugin(
    group: str, name: str, error: type[EvitError], *, built_in: str | None = None
) -> Any:
    """What another package has added to a group under a name; None if there is nothing.

    Args:
        error: The kind of error to raise.
        built_in: What has the name already in this project, if anything has.

    Raises:
        EvitError: of the kind `error`: the name is used twice, or the entry point cannot be
            loaded; package, entry point and cause are named.
    """
    found = {_origin(entry): entry for entry in entry_points(group=group, name=name)}
    owners = [*([built_in] if built_in else []), *sorted(found)]
    if found and len(owners) > 1:
        raise error(
            f"{name!r} is the name of {' and of '.join(owners)}; uninstall all packages but one, "
            f"or rename an entry point of the group {group}"
        )
    for origin, entry in found.items():
        try:
            return entry.load()
        except Exception as cause:  # another package's module may raise anything
            raise error(
                f"{name!r} of {origin} cannot be loaded: {type(cause).__name__}: {cause}; mend or "
                "uninstall the package"
            ) from cause
    return None


def _origin(entry: EntryPoint) -> str:
    """The package of an entry point, with its version, and what the entry point names."""
    dist = entry.dist
    package = "an unknown package" if dist is None else f"package {dist.name} {dist.version}"
    return f"{package} ({entry.value})"
