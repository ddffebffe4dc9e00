"""One stream of an adb connection, and the sending of files over it.

adb-shell's own `push` ignores a failure that the phone reports before the end of the transfer,
such as a full disk, and then waits for an answer that never comes. This stream handles the phone's
messages whenever they arrive.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from typing import Any

import numpy as np
from adb_shell import constants
from adb_shell.adb_message import AdbMessage

SYNC = struct.Struct("<4sI")
CHUNK = 64 * 1024  # the largest DATA of the sync protocol


class StreamClosed(Exception):
    """The phone closed the stream."""


class SendRefused(Exception):
    """The phone refused a file, with its reason."""


class _Message(AdbMessage):  # type: ignore[misc]  # adb_shell has no types
    """A packet whose checksum, the sum of its bytes, does not take Python 7 ms a megabyte."""

    def pack(self) -> bytes:
        total = int(np.frombuffer(self.data, np.uint8).sum(dtype=np.uint32))
        words = (self.command, self.arg0, self.arg1, len(self.data), total, self.magic)
        return struct.pack(constants.MESSAGE_FORMAT, *words)


class Stream:
    """An open service on the phone, such as `sync:` or `shell,v2,raw:ls`.

    Args:
        adb: A connected `adb_shell.adb_device.AdbDevice`.
        service: Name and argument of the service.
        silence_s: Longest silence of the phone, in seconds.
    """

    def __init__(self, adb: Any, service: bytes, silence_s: float) -> None:
        self._adb = adb
        self._io = adb._io_manager
        self._info = adb._open(service, silence_s, silence_s, None)
        self._inbox: deque[bytes] = deque()
        self._rest = b""
        self._open = True

    def write(self, data: bytes) -> None:
        """Send bytes and wait until the phone took them.

        Raises:
            StreamClosed: The phone closed the stream instead.
        """
        step = max(1, self._adb._maxdata)
        for start in range(0, len(data), step):
            if not self._open:
                raise StreamClosed
            self._send(constants.WRTE, data[start : start + step])
            while self._next([constants.OKAY, constants.WRTE, constants.CLSE]) != constants.OKAY:
                if not self._open:
                    raise StreamClosed

    def read(self) -> bytes:
        """Read the next bytes.

        Raises:
            StreamClosed: There are no more.
        """
        while not self._inbox:
            if not self._open:
                raise StreamClosed
            self._next([constants.WRTE, constants.CLSE])
        return self._inbox.popleft()

    def read_exactly(self, size: int) -> bytes:
        """Read the next `size` bytes.

        Raises:
            StreamClosed: The stream ended before.
        """
        while len(self._rest) < size:
            self._rest += self.read()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    @property
    def waiting(self) -> bool:
        """Whether bytes have come that were not read yet."""
        return bool(self._inbox)

    def close(self) -> None:
        """Close the stream; its connection can be used further."""
        if self._open:
            self._adb._clse(self._info)
            self._open = False

    def _next(self, expected: list[bytes]) -> bytes:
        command, _, _, data = self._io.read(expected, self._info, allow_zeros=True)
        if command == constants.WRTE:
            self._send(constants.OKAY)
            self._inbox.append(bytes(data))
        elif command == constants.CLSE:
            self._send(constants.CLSE)
            self._open = False
        return bytes(command)

    def _send(self, command: bytes, data: bytes = b"") -> None:
        message = _Message(command, self._info.local_id, self._info.remote_id, data)
        self._io.send(message, self._info)


def send_file(adb: Any, data: bytes, path: str, mode: int, silence_s: float) -> None:
    """Write a file by the sync protocol.

    Args:
        adb: A connected `adb_shell.adb_device.AdbDevice`.
        data: Content of the file.
        path: Path on the phone.
        mode: Permission bits.
        silence_s: Longest silence of the phone, in seconds.

    Raises:
        SendRefused: The phone could not write it.
        StreamClosed: The phone ended the transfer.
    """
    stream = Stream(adb, b"sync:", silence_s)
    head = f"{path},{0o100000 | mode}".encode()
    stream.write(SYNC.pack(b"SEND", len(head)) + head)
    view = memoryview(data)
    block = max(1, (adb._maxdata - SYNC.size) // (CHUNK + SYNC.size)) * CHUNK
    for start in range(0, len(data), block):
        parts = (view[at : at + CHUNK] for at in range(start, min(start + block, len(data)), CHUNK))
        stream.write(b"".join(SYNC.pack(b"DATA", len(part)) + part for part in parts))
        if stream.waiting:
            break  # before the end the phone sends nothing but errors
    else:
        stream.write(SYNC.pack(b"DONE", int(time.time())))
    answer = stream.read_exactly(SYNC.size)
    kind, size = SYNC.unpack(answer)
    reason = stream.read_exactly(size).decode(errors="replace") if kind == b"FAIL" else ""
    stream.close()
    if kind != b"OKAY":
        raise SendRefused(reason or f"unexpected answer {kind!r}")
