"""Transports of bytes to a phone, below adb-shell's protocol: TCP, a Unix socket, USB.

adb-shell's own TCP transport has three faults that matter here: it drops the rest of a partial
`send`, spins until the read timeout when the phone closes the connection, and waits for delayed
acknowledgements between the header and the body of a packet.
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from adb_shell.exceptions import TcpTimeoutException
from adb_shell.transport.base_transport import BaseTransport

from devices.adb.address import UNIX, parse_address
from elasticvit.errors import DeviceError

BANNER_BYTES = 8192


class SocketTransport(BaseTransport):  # type: ignore[misc]  # adb_shell has no types
    """A stream socket.

    Args:
        address: Address as `parse_address` reads it, or `unix:PATH` (such as ssh forwards).

    Attributes:
        banner: First bytes that the phone sent; they hold its features.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._target = None if address.startswith(UNIX) else parse_address(address)
        self._socket: socket.socket | None = None
        self.banner = b""

    def connect(self, transport_timeout_s: float | None) -> None:
        """Open the connection; raises OSError."""
        self.banner = b""
        if self._target is None:
            opened = socket.socket(socket.AF_UNIX)
            opened.settimeout(transport_timeout_s)
            try:
                opened.connect(self._address.removeprefix(UNIX))
            except BaseException:
                opened.close()
                raise
        else:
            opened = socket.create_connection(self._target, timeout=transport_timeout_s)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setblocking(False)
        self._socket = opened

    def close(self) -> None:
        """Close the connection; does nothing when there is none."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Up to `numbytes` bytes; raises OSError (also at the end of the stream) or a timeout."""
        opened = self._opened()
        if not select.select([opened], [], [], transport_timeout_s)[0]:
            raise TcpTimeoutException(f"nothing came for {transport_timeout_s} s")
        data = opened.recv(numbytes)
        if not data:
            raise ConnectionResetError("the phone closed the connection")
        if len(self.banner) < BANNER_BYTES:
            self.banner += data[:BANNER_BYTES]
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send everything; raises OSError or a timeout."""
        opened = self._opened()
        deadline = None if transport_timeout_s is None else time.monotonic() + transport_timeout_s
        view = memoryview(data)
        while view:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([], [opened], [], left_s)[1]:
                raise TcpTimeoutException("the phone took nothing in time")
            view = view[opened.send(view) :]
        return len(data)

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionResetError("there is no connection")
        return self._socket


class UsbTransport(BaseTransport):  # type: ignore[misc]
    """adb-shell's USB transport, which looks for the phone again at every connection, so that the
    cable may be unplugged in between.

    Args:
        serial: Serial number of the phone; None takes the only one.

    Attributes:
        banner: First bytes that the phone sent.
    """

    def __init__(self, serial: str | None) -> None:
        self._serial = serial
        self._usb: Any = None
        self.banner = b""

    def connect(self, transport_timeout_s: float | None) -> None:
        """Find the phone and claim it; raises adb-shell's and libusb's errors."""
        self.banner = b""
        self._usb = usb_class().find_adb(self._serial, None, transport_timeout_s)
        self._usb.connect(transport_timeout_s)

    def close(self) -> None:
        """Release the phone; does nothing when there is none."""
        if self._usb is not None:
            self._usb.close()
            self._usb = None

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
        """Up to `numbytes` bytes."""
        if self._usb is None:
            raise ConnectionResetError("no USB connection")
        data = bytes(self._usb.bulk_read(numbytes, transport_timeout_s))
        if len(self.banner) < BANNER_BYTES:
            self.banner += data[:BANNER_BYTES]
        return data

    def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
        """Send everything."""
        if self._usb is None:
            raise ConnectionResetError("no USB connection")
        return int(self._usb.bulk_write(data, transport_timeout_s))


def usb_class() -> Any:
    """adb-shell's USB transport.

    Raises:
        DeviceError: The extra `usb` or the system's libusb is missing.
    """
    try:
        from adb_shell.transport.usb_transport import UsbTransport as usb
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"USB needs the extra `usb` and the system's libusb-1.0 ({error}); run "
            "`pip install 'elasticvit[usb]'`, or connect over TCP: run `adb tcpip 5555` and give "
            "the phone's address",
            settings=("address",),
        ) from error
    return usb
