"""Parsing of a command's output over ADB: shell v2, and the plain shell of older phones."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from devices.adb.errors import LinkLost

STDOUT, STDERR, EXIT = 1, 2, 3
HEAD = struct.Struct("<BI")


@dataclass(frozen=True)
class ShellResult:
    """Output and exit code of a command on the phone.

    Attributes:
        stdout, stderr: Standard output and standard error; without shell v2 all is in `stdout`.
        code: Exit code, 0 to 255.
    """

    stdout: str
    stderr: str
    code: int

    @property
    def complaint(self) -> str:
        """Last line that the command printed, for messages."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


def split_v2(packets: Iterator[bytes], name: str) -> Iterator[tuple[int, bytes]]:
    """Split the output of shell v2, whose packets hold a kind, a length and data.

    Args:
        packets: Pieces of the stream, cut anywhere by the transport.
        name: Address of the phone, for the message.

    Yields:
        Pairs of a kind (STDOUT, STDERR or EXIT) and its data.

    Raises:
        LinkLost: The stream ended within a packet.
    """
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
    """Split the output of the plain shell: output, then a token and the exit code.

    Args:
        packets: Pieces of the stream, cut anywhere by the transport.
        token: What the command was made to print before its exit code.

    Yields:
        Pairs of a kind (STDOUT or EXIT) and its data.
    """
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
