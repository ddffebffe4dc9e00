"""Addresses of phones: `HOST[:PORT]`, `[IPV6]:PORT` or `unix:PATH`."""

from __future__ import annotations

import re

from elasticvit.errors import DeviceError
from elasticvit.reading import shown

DEFAULT_PORT = 5555
UNIX = "unix:"


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        DeviceError: The text has none of these forms, or the port is not from 1 to 65535.
    """
    match = re.fullmatch(
        r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\s]+))(?::(?P<port>\d{1,5}))?", address
    )
    host = "" if match is None else match["v6"] or match["host"]
    port = DEFAULT_PORT if match is None else int(match["port"] or DEFAULT_PORT)
    if not _can_be_looked_up(host) or not 1 <= port <= 65535:
        raise DeviceError(
            f"address {shown(address)} is neither HOST, HOST:PORT, [IPV6]:PORT nor unix:PATH",
            settings=("address",),
        )
    return host, port


def _can_be_looked_up(host: str) -> bool:
    """Whether a text has the form of a host's name or address."""
    try:
        return bool(host) and "\0" not in host and bool(host.encode("idna"))
    except UnicodeError:  # an empty part, or one of more than 63 characters
        return False
