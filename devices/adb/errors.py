"""Errors of the link to a phone, and conversion of the exceptions of the libraries below it."""

from __future__ import annotations

import errno
import socket
import struct

from elasticvit.errors import DeviceError, DeviceUnreachable

NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN)


class LinkLost(DeviceUnreachable):
    """The link to the phone broke or the phone fell silent."""


class StorageFull(DeviceError):
    """The phone has no room for what was sent."""


def link_error(name: str, error: Exception) -> LinkLost:
    """Convert an exception of adb-shell, the socket or libusb into a `LinkLost`.

    Any other exception is a bug of this program and is raised as it is.

    Args:
        name: Address of the phone, for the message.
        error: The exception that was caught.
    """
    from adb_shell import exceptions

    if isinstance(error, socket.gaierror) or getattr(error, "errno", None) in NOBODY_THERE:
        return LinkLost(
            f"{name}: {error_text(error)}; check the address and port, that the phone is in this "
            "network, and that it listens (`adb tcpip 5555`, with a cable, makes it)"
        )
    kinds = tuple(vars(exceptions)[name] for name in vars(exceptions) if name[0].isupper())
    if isinstance(error, (OSError, struct.error, *kinds)):
        return LinkLost(f"{name}: {error_text(error)}")
    if type(error).__module__.startswith("usb1"):
        return LinkLost(
            f"{name}: {error_text(error)}; if the adb server holds the phone, run `adb kill-server`"
        )
    raise error


def error_text(error: Exception) -> str:
    """Text of an exception; some of adb-shell's hold raw bytes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    texts = [
        a.decode(errors="replace") if isinstance(a, bytes | bytearray) else a for a in error.args
    ]
    return " ".join(str(text) for text in texts) or type(error).__name__
