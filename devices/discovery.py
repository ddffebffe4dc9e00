"""Phones that are connected now, and the state of each connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.adb.connection import AdbConnection, LinkConfig
from devices.adb.errors import link_error
from devices.adb.link import AdbLink
from devices.catalog import load_catalog
from devices.phone.facts import read_facts
from elasticvit.errors import DeviceError, DeviceUnauthorised
from elasticvit.reading import shown
from elasticvit.workspace import Workspace

SERVER_PORT = 5037
SERVER_TIMEOUT_S = 0.5
PORT_VARIABLE = "ANDROID_ADB_SERVER_PORT"
MOST_ANSWER_BYTES = 100_000
UDEV = "on Linux a udev rule must let you use it (android-sdk-platform-tools-common has them)"
QUICK = LinkConfig(connect_s=2.0, dialog_s=1.5, command_s=5.0, patience_s=0.0)


@dataclass(frozen=True, kw_only=True)
class Connected:
    """A phone that is plugged in or answers at an address.

    Attributes:
        where: `USB` or the address.
        serial: Serial number of the phone; empty if not reported.
        state: `ready`, `unauthorized`, `unreachable` (also: cannot be asked) or `held by the adb
            server`.
        product: Maker and model, for display; empty if the phone did not answer.
        name: Name in the catalogue; None if it is not there.
        hint: What to do next; empty if the phone is ready.
    """

    where: str
    serial: str = ""
    state: str
    product: str = ""
    name: str | None = None
    hint: str = ""


def list_devices(
    workspace: Workspace | None = None,
    addresses: Iterable[str] = (),
    *,
    keys: list[Path] | None = None,
) -> list[Connected]:
    """Find phones on USB, at the given addresses and at those of the workspace's own devices.

    Args:
        workspace: Workspace whose `devices.toml` is read.
        addresses: Addresses as `devices.adb.address.parse_address` reads them, or `unix:PATH`.
        keys: Private keys; by default those of the `adb` program.

    Raises:
        DeviceError: The workspace's `devices.toml` or an address is malformed.
    """
    catalog = load_catalog(workspace)
    known = [entry.address for entry in catalog.values() if entry.address]
    found = [
        _ask(AdbConnection(address, config=QUICK, keys=keys), address, "", workspace)
        for address in dict.fromkeys([*addresses, *known])
    ]
    server = _server_devices()
    for phone in _usb_phones():
        if isinstance(phone, Connected):
            found.append(phone)
        elif phone not in {device.serial for device in server}:
            connection = AdbConnection(serial=phone, config=QUICK, keys=keys)
            found.append(_ask(connection, "USB", phone, workspace))
    return found + server


def _ask(
    connection: AdbConnection, where: str, serial: str, workspace: Workspace | None
) -> Connected:
    asked = Connected(where=where, serial=serial, state="ready")
    try:
        connection.connect()
        facts = read_facts(AdbLink(connection))
    except DeviceUnauthorised:
        return replace(asked, state="unauthorized", hint="accept the dialog on the phone")
    except DeviceError as error:
        return replace(asked, state="unreachable", hint=str(error))
    finally:
        connection.close()
    entries = load_catalog(workspace).values()
    name = next((entry.name for entry in entries if entry.matches(facts)), None)
    return replace(asked, serial=facts.serial, product=facts.product, name=name)


def _usb_phones() -> list[str | Connected]:
    """Serials of the phones on USB, or an entry in place of a serial that cannot be read; none if
    USB support is not installed."""
    from devices.adb.transport import usb_class

    try:
        usb = usb_class()
    except DeviceError:
        return []
    found: list[str | Connected] = []
    for device in usb.find_all_adb_devices():
        try:
            found.append(str(device.serial_number or ""))
        except Exception as error:
            said = link_error("the phone on USB", error)
            found.append(Connected(where="USB", state="unreachable", hint=f"{said}; {UDEV}"))
    return found


def _server_devices() -> list[Connected]:
    """Phones on USB that a running adb server has claimed, so that nobody else can."""
    named = os.environ.get(PORT_VARIABLE, str(SERVER_PORT))
    if not (named.isascii() and named.isdigit() and 0 < int(named[:6]) <= 65535):
        raise DeviceError(
            f"the environment variable {PORT_VARIABLE} is {shown(named)}; it must be a port from 1 "
            "to 65535: correct it or unset it"
        )
    try:
        address = ("127.0.0.1", int(named))
        with socket.create_connection(address, timeout=SERVER_TIMEOUT_S) as server:
            server.sendall(b"000ehost:devices-l")
            answer = b""
            while len(answer) < MOST_ANSWER_BYTES and (part := server.recv(4096)):
                answer += part
    except OSError:
        return []
    return parse_server_devices(answer)


def parse_server_devices(answer: bytes) -> list[Connected]:
    """Read the phones on USB from an adb server's answer to `host:devices-l`."""
    if not answer.startswith(b"OKAY"):
        return []
    lines: Sequence[str] = answer[8:].decode(errors="replace").splitlines()
    found = []
    for words in filter(None, map(str.split, lines)):
        serial, state, *pairs = [*words, ""]
        if not any(pair.startswith("usb:") for pair in pairs):
            continue  # a phone that the server reached over TCP also accepts our own connection
        model = dict(pair.split(":", 1) for pair in pairs if ":" in pair).get("model", "")
        if state == "unauthorized":
            hint = "accept the dialog on the phone, then run `adb kill-server`"
        else:
            hint = "run `adb kill-server` to release the phone"
        found.append(
            Connected(
                where="USB",
                serial=serial,
                state="unauthorized" if state == "unauthorized" else "held by the adb server",
                product=model.replace("_", " "),
                hint=hint,
            )
        )
    return found
