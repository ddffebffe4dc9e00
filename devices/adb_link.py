"""The link to one phone: commands with exit codes, and files.

Commands and pushes may be repeated, so they reconnect by themselves; a stream's reader decides
itself what to do.
"""

from __future__ import annotations

import io
import secrets
import shlex
from collections.abc import Iterator

from devices.adb_connection import AdbConnection, words
from devices.shell_output import EXIT, STDERR, STDOUT, LinkLost, ShellResult, split_token, split_v2
from elasticvit.errors import DeviceError


class StorageFull(DeviceError):
    """The phone has no room for what was sent."""


class AdbLink(AdbConnection):
    """What a phone is told over its connection."""

    def shell(self, command: str, timeout_s: float | None = None) -> ShellResult:
        """Run a command that may be repeated; reconnects when the link is lost.

        Args:
            timeout_s: of silence; by default `command_s`.

        Raises:
            DeviceUnreachable: the phone did not come back.
        """
        return self.persist(lambda: self._shell(command, timeout_s or self.config.command_s))

    def run(self, command: str, timeout_s: float | None = None) -> ShellResult:
        """Like `shell`, and any exit code but 0 is an error.

        Raises:
            DeviceError: the command failed on the phone.
        """
        result = self.shell(command, timeout_s)
        if result.code != 0:
            raise DeviceError(f"{self.name}: `{command[:80]}` failed: {result.complaint}")
        return result

    def _shell(self, command: str, timeout_s: float) -> ShellResult:
        parts: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
        code = None
        for kind, data in self.stream(command, timeout_s):
            if kind == EXIT:
                code = data[0]
            else:
                parts.setdefault(kind, []).append(data)
        if code is None:
            raise LinkLost(f"{self.name}: the phone ended a command without its exit code")
        out, err = (b"".join(parts[kind]).decode(errors="replace") for kind in (STDOUT, STDERR))
        return ShellResult(out, err, code)

    def stream(self, command: str, silence_s: float) -> Iterator[tuple[int, bytes]]:
        """Run a command once and yield `(STDOUT | STDERR | EXIT, data)` as it comes.

        EXIT's data is the exit code as one byte. On phones without shell v2 standard error is
        merged into standard output.

        Raises:
            LinkLost: the link broke, or nothing came for `silence_s`.
        """
        return self._stream(command, silence_s)

    def _stream(self, command: str, silence_s: float) -> Iterator[tuple[int, bytes]]:
        if self._adb is None:
            raise LinkLost(f"{self.name}: not connected")
        if "shell_v2" in self.features:
            packets = self._service(b"shell,v2,raw", command, silence_s)
            yield from split_v2(packets, self.name)
        else:
            token = secrets.token_hex(8)
            wrapped = f'( {command}\n) 2>&1; echo "{token}$?"'
            yield from split_token(self._service(b"shell", wrapped, silence_s), token.encode())

    def _service(self, service: bytes, command: str, silence_s: float) -> Iterator[bytes]:
        from devices.adb_stream import Stream, StreamClosed

        try:
            stream = Stream(self._adb, service + b":" + command.encode(), silence_s)
            while True:
                try:
                    yield stream.read()
                except StreamClosed:
                    return
        except Exception as error:
            self.close()
            raise self.lost(error) from error
        except BaseException:  # closed early, or Ctrl-C
            self.close()  # the command's later output would be taken for another's
            raise

    def push(self, data: bytes, path: str, mode: int = 0o644) -> None:
        """Write a file on the phone: whole, or not at all.

        It goes to a temporary name, its size is checked, and then it is renamed.

        Raises:
            StorageFull: no room on the phone.
            DeviceError: the phone refused the file.
            DeviceUnreachable: the phone did not come back.
        """
        self.persist(lambda: self._push(data, path, mode))

    def _push(self, data: bytes, path: str, mode: int) -> None:
        from devices.adb_stream import SendRefused, StreamClosed, send_file

        part, seconds = f"{path}.part", self.config.command_s
        try:
            send_file(self._adb, data, part, mode, seconds)
            size = self._adb.stat(part, transport_timeout_s=seconds, read_timeout_s=seconds)[1]
        except StreamClosed as error:
            raise LinkLost(f"{self.name}: the phone ended the transfer of {path}") from error
        except SendRefused as error:
            self._shell(f"rm -f {shlex.quote(part)}", seconds)
            reason = words(error)
            if "space" in reason.lower() or "quota" in reason.lower():
                raise StorageFull(
                    f"{self.name}: no room for {len(data)} bytes: {reason}"
                ) from error
            raise DeviceError(f"{self.name}: cannot write {path}: {reason}") from error
        if size != len(data):
            raise LinkLost(f"{self.name}: {size} of {len(data)} bytes of {path} arrived")
        moved = self._shell(f"mv -f {shlex.quote(part)} {shlex.quote(path)}", seconds)
        if moved.code != 0:
            raise DeviceError(f"{self.name}: cannot rename {part}: {moved.complaint}")

    def pull(self, path: str) -> bytes:
        """A file of the phone.

        Raises:
            DeviceError: there is no such file.
            DeviceUnreachable: the phone did not come back.
        """
        return self.persist(lambda: self._pull(path))

    def _pull(self, path: str) -> bytes:
        from adb_shell.exceptions import AdbCommandFailureException

        target = io.BytesIO()
        seconds = self.config.command_s
        try:
            self._adb.pull(path, target, transport_timeout_s=seconds, read_timeout_s=seconds)
        except AdbCommandFailureException as error:
            self.connect()
            raise DeviceError(f"{self.name}: cannot read {path}: {words(error)}") from error
        return target.getvalue()
