"""Messages over pipes: a JSON header and a payload of bytes, both with their lengths before."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Mapping
from typing import Any

HEAD = struct.Struct("<IQ")
CHUNK = 1 << 20


class LinkClosed(Exception):
    """The other side closed its end or died."""


class LinkTimeout(Exception):
    """The other side did not answer in time."""


def write_message(fd: int, header: Mapping[str, Any], payload: bytes = b"") -> None:
    """Send one message; blocks while the pipe is full.

    Raises:
        LinkClosed: nobody reads any more.
    """
    head = json.dumps(header).encode()
    try:
        for part in (HEAD.pack(len(head), len(payload)) + head, payload):
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view[:CHUNK]) :]
    except BrokenPipeError as error:
        raise LinkClosed from error


def read_message(fd: int, timeout_s: float | None = None) -> tuple[dict[str, Any], bytes]:
    """Receive one message.

    Raises:
        LinkClosed: the pipe ended.
        LinkTimeout: the message was not complete after `timeout_s`.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    head_size, payload_size = HEAD.unpack(_read_exactly(fd, HEAD.size, deadline))
    header: dict[str, Any] = json.loads(_read_exactly(fd, head_size, deadline))
    return header, _read_exactly(fd, payload_size, deadline)


def _read_exactly(fd: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if deadline is not None:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([fd], [], [], left_s)[0]:
                raise LinkTimeout
        part = os.read(fd, min(size, CHUNK))
        if not part:
            raise LinkClosed
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
