"""Devices by name."""

from __future__ import annotations

from devices.protocol import Device
from elasticvit.errors import DeviceUnknown
from elasticvit.workspace import Workspace

BUILT_IN = ("host", "fake")


def open_device(name: str, workspace: Workspace | None = None) -> Device:
    """The device of a name, not yet entered: use it with `with`.

    Args:
        name: `host`, `fake`, or a device of the catalogue.
        workspace: whose settings hold the user's own devices.

    Raises:
        DeviceUnknown: no such name; the known ones are named.
    """
    if name == "host":
        from devices.host import HostDevice

        return HostDevice()
    if name == "fake":
        from devices.fake import FakeDevice

        return FakeDevice()
    raise DeviceUnknown(f"no device {name!r}; known are {', '.join(BUILT_IN)}")
