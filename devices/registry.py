"""Devices by name: those that are built in, phones of the catalogue, devices of other packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from devices.catalog import USER_FILE, CatalogEntry, load_catalog
from devices.outside import OpenOptions, open_outside
from devices.protocol import Device
from elasticvit.errors import DeviceError, DeviceUnknown
from elasticvit.names import HOST
from elasticvit.plugins import DEVICES, plugin_names
from elasticvit.workspace import Workspace

BUILT_IN = (HOST, "fake")


def known_devices(workspace: Workspace | None = None) -> tuple[str, ...]:
    """Names that `open_device` takes: built-in devices, phones, devices of other packages.

    Args:
        workspace: Workspace whose `devices.toml` holds the user's own phones.

    Raises:
        DeviceError: A malformed `devices.toml`.
    """
    return tuple(dict.fromkeys([*BUILT_IN, *load_catalog(workspace), *plugin_names(DEVICES)]))


def open_device(
    name: str,
    workspace: Workspace | None = None,
    *,
    address: str | None = None,
    serial: str | None = None,
    runner: Path | str | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Device:
    """Create the device of a name, to be entered with `with`.

    Args:
        name: `host`, `fake`, a phone of the catalogue, or a device of another package (see
            `devices.outside`).
        workspace: Workspace whose `devices.toml` holds the user's own phones, and whose setting
            `runner` is the runner of phones unless one is named here.
        address: `HOST[:PORT]` or `unix:PATH` of the phone; None looks for it on USB.
        serial: Serial number of the phone on USB, if several are plugged in.
        runner: Path of `benchmark_model` for the phone.
        notice: Callback for notices to the user while the device works, one line each.

    Raises:
        DeviceUnknown: No device has this name; the message lists the known names.
        DeviceError: A name that two devices have, an address for a device that is not a phone,
            a malformed `devices.toml`, or a broken device of another package.
    """
    catalog = load_catalog(workspace)
    if name in BUILT_IN and name in catalog:
        raise DeviceError(
            f"{USER_FILE} of the workspace has a phone named {name!r}, which is a built-in device; "
            "give the phone another name"
        )
    own = None
    if name in BUILT_IN or name in catalog:
        own = "a built-in device" if name in BUILT_IN else "a phone of the catalogue"
    options = OpenOptions(
        name=name,
        workspace=workspace,
        address=address,
        serial=serial,
        runner=runner,
        notice=notice,
    )
    outside = open_outside(options, own)
    if outside is not None:
        return outside
    if name in BUILT_IN:
        return _open_built_in(options)
    if name in catalog:
        return _open_phone(catalog[name], options)
    raise DeviceUnknown(
        f"no device {name!r}; known are {', '.join(known_devices(workspace))}; other phones go "
        f"into the workspace's {USER_FILE}",
        settings=("device",),
    )


def _open_built_in(options: OpenOptions) -> Device:
    if options.address or options.serial:
        raise DeviceError(
            f"{options.name} is not a phone; give it neither an address nor a serial number",
            settings=("device", "address", "serial"),
        )
    if options.name == "fake":
        from devices.fake import FakeDevice

        return FakeDevice()
    from devices.host.device import HostDevice

    return HostDevice()


def _open_phone(entry: CatalogEntry, options: OpenOptions) -> Device:
    from devices.phone.device import PhoneDevice

    workspace = options.workspace
    remembered = workspace.settings().runner if workspace is not None else None
    own = entry.runner and (workspace.root / entry.runner if workspace else Path(entry.runner))
    return PhoneDevice(
        options.name,
        entry=entry,
        address=options.address or (None if options.serial else entry.address),
        serial=options.serial or (None if options.address else entry.serial),
        runner=options.runner or own or remembered,
        notice=options.notice,
    )
