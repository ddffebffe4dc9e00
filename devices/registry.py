"""Devices by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from devices.protocol import Device
from elasticvit.errors import DeviceError, DeviceUnknown
from elasticvit.workspace import Workspace

BUILT_IN = ("host", "fake")


def open_device(
    name: str,
    workspace: Workspace | None = None,
    *,
    address: str | None = None,
    serial: str | None = None,
    runner: Path | str | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Device:
    """The device of a name, not yet entered: use it with `with`.

    Args:
        name: `host`, `fake`, or a phone of the catalogue.
        workspace: whose `devices.toml` holds the user's own phones, and whose setting `runner`
            is the runner unless one is named here.
        address: `HOST[:PORT]` or `unix:PATH` of the phone; without, it is looked for on USB.
        serial: of the phone on USB, where several are plugged in.
        runner: `benchmark_model` for the phone.
        notice: told what a person should know while the device works.

    Raises:
        DeviceUnknown: no such name; the known ones are named.
        DeviceError: an address for a device that is not a phone, or a malformed `devices.toml`.
    """
    if name in BUILT_IN:
        if address or serial:
            raise DeviceError(f"{name} is not a phone; leave --address and --serial out")
        if name == "fake":
            from devices.fake import FakeDevice

            return FakeDevice()
        from devices.host import HostDevice

        return HostDevice()
    from devices.catalog import USER_FILE, load_catalog

    catalog = load_catalog(workspace)
    entry = catalog.get(name)
    if entry is None:
        raise DeviceUnknown(
            f"no device {name!r}; known are {', '.join((*BUILT_IN, *catalog))}; others go into "
            f"the workspace's {USER_FILE}"
        )
    from devices.adb import AdbDevice

    settings = workspace.settings() if workspace is not None else {}
    own = entry.runner and (workspace.root / entry.runner if workspace else Path(entry.runner))
    return AdbDevice(
        name,
        entry=entry,
        address=address or (None if serial else entry.address),
        serial=serial or (None if address else entry.serial),
        runner=runner or own or settings.get("runner"),
        notice=notice,
    )
