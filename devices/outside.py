"""Devices of other packages, found through the entry points of the group `elasticvit.devices`.

A package that brings a device declares it in its own `pyproject.toml`:

    [project.entry-points."elasticvit.devices"]
    boardfarm = "boardfarm.device:open_board"

The name on the left is the name of the device. The object on the right is called with one
`OpenOptions` and returns a `devices.protocol.Device` that is not yet entered; a class whose only
argument is the options will do. `elasticvit.testing.DeviceContract` tests such a device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devices.protocol import Device
from elasticvit.errors import DeviceError, EvitError
from elasticvit.plugins import DEVICES, declared_by, load_plugin
from elasticvit.workspace import Workspace

MEMBERS = ("info", "quality", "measure", "__enter__", "__exit__")


@dataclass(frozen=True, kw_only=True)
class OpenOptions:
    """Options for opening a device. Later versions may add fields but never remove one.

    Attributes:
        name: Name under which the device was requested.
        workspace: Workspace of the caller; None if there is none.
        address: Address that the user gave; None if the user gave none.
        serial: Serial number that the user gave; None if the user gave none.
        runner: Path of the program that times models; None if the user gave none.
        notice: Callback for notices to the user while the device works, one line each.
    """

    name: str
    workspace: Workspace | None = None
    address: str | None = None
    serial: str | None = None
    runner: Path | str | None = None
    notice: Callable[[str], None] = lambda _: None


DeviceFactory = Callable[[OpenOptions], Device]


def open_outside(options: OpenOptions, own: str | None) -> Device | None:
    """Make the device of another package, not yet entered; None if no package declares the name.

    Args:
        own: What has the name already in this project or its workspace, if anything has.

    Raises:
        DeviceError: The name is used twice, the entry point cannot be imported, its object
            fails, or what it returns is no device; package and cause are named.
    """
    factory: DeviceFactory | None = load_plugin(DEVICES, options.name, DeviceError, built_in=own)
    if factory is None:
        return None
    owner = " and ".join(declared_by(DEVICES, options.name))
    try:
        device = factory(options)
    except EvitError:
        raise
    except Exception as error:  # another package may raise anything
        raise DeviceError(
            f"{options.name!r} of {owner} cannot be created: {type(error).__name__}: {error}; its "
            "entry point is called with one devices.OpenOptions"
        ) from error
    # looked up on the class, since `info` may be read inside the context alone
    members = {*dir(type(device)), *getattr(device, "__dict__", {})}
    if missing := [name for name in MEMBERS if name not in members]:
        raise DeviceError(
            f"{options.name!r} of {owner} is no device: {type(device).__name__} has no "
            f"{', '.join(missing)}; add them, as devices.protocol.Device defines them"
        )
    return device
