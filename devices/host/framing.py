"""Messages over pipes: the lengths of header and payload, a JSON header, a payload of bytes."""

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


class PipeClosed(Exception):
    """The other side closed its end or died."""


class PipeTimeout(Exception):
    """The other side did not answer in time."""


def write_message(fd: int, header: Mapping[str, Any], payload: bytes = b"") -> None:
    """Send one message; blocks while the pipe is full.

    Args:
        fd: File descriptor of the pipe.
        header: Values that JSON can hold.
        payload: Bytes that follow the header.

    Raises:
        PipeClosed: Nobody reads any more.
    """
    head = json.dumps(header).encode()
    try:
        for part in (HEAD.pack(len(head), len(payload)) + head, payload):
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view[:CHUNK]) :]
    except BrokenPipeError as error:
        raise PipeClosed from error


def read_message(fd: int, timeout_s: float | None = None) -> tuple[dict[str, Any], bytes]:
    """Receive one message.

    Args:
        fd: File descriptor of the pipe.
        timeout_s: Longest wait for the whole message, in seconds; None for no limit.

    Returns:
        Header and payload.

    Raises:
        PipeClosed: The pipe ended.
        PipeTimeout: The message was not complete after `timeout_s` seconds.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    head_size, payload_size = HEAD.unpack(_read_exactly(fd, HEAD.size, deadline))
    header: dict[str, Any] = json.loads(_read_exactly(fd, head_size, deadline))
    return header, _read_exactly(fd, payload_size, deadline)


def _read_exactly(fd: int, size: int, deadline: float | None) -> bytes:
    parts: list[bytes] = []
    while size:
        if deadline is not None:
            left_s = max(deadline - time.monotonic(), 0)  # what is there already is not late
            if not select.select([fd], [], [], left_s)[0]:
                raise PipeTimeout
        part = os.read(fd, min(size, CHUNK))
        if not part:
            raise PipeClosed
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
