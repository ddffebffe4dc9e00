"""How a command's output comes over adb: with shell v2, and from phones that lack it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from elasticvit.errors import DeviceUnreachable

STDOUT, STDERR, EXIT = 1, 2, 3
HEAD = struct.Struct("<BI")


class LinkLost(DeviceUnreachable):
    """The link to the phone broke or the phone fell silent."""


@dataclass(frozen=True)
class ShellResult:
    """What a command on the phone printed, and its exit code."""

    stdout: str
    stderr: str
    code: int

    @property
    def complaint(self) -> str:
        """Its last words, for messages."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


def split_v2(packets: Iterator[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Shell v2: each packet has a kind, a length and data, cut anywhere by the transport."""
    buffer = b""
    for packet in packets:
        buffer += packet
        while len(buffer) >= HEAD.size:
            kind, size = HEAD.unpack_from(buffer)
            if len(buffer) < HEAD.size + size:
                break
            data, buffer = buffer[HEAD.size : HEAD.size + size], buffer[HEAD.size + size :]
            yield kind, data
    if buffer:
        raise LinkLost(f"{name}: a command's output ended within a packet")


def split_token(packets: Iterator[bytes], token: bytes) -> Iterator[tuple[int, bytes]]:
    """Plain shell: output, then the token and the exit code."""
    buffer = b""
    for packet in packets:
        buffer += packet
        # keep back what might be the token's beginning, and everything after it
        safe = len(buffer) - len(token) + 1 if token not in buffer else buffer.index(token)
        if safe > 0:
            yield STDOUT, buffer[:safe].replace(b"\r\n", b"\n")
            buffer = buffer[safe:]
    code = buffer.removeprefix(token).strip()
    if buffer.startswith(token) and code.isdigit():
        yield EXIT, bytes([int(code) & 255])
