"""The link to one phone: commands with exit codes, and files.

Commands and file transfers may be repeated, so they reconnect by themselves; the reader of a stream
handles a lost link itself.
"""

from __future__ import annotations

import io
import secrets
import shlex
from collections.abc import Iterator

from devices.adb.connection import AdbConnection
from devices.adb.errors import LinkLost, StorageFull, error_text, link_error
from devices.adb.shell_output import EXIT, STDERR, STDOUT, ShellResult, split_token, split_v2
from elasticvit.errors import DeviceError


class AdbLink:
    """Commands and files over a connection.

    Args:
        connection: Connection to the phone; the link does not open it.

    Attributes:
        connection: As passed; it is opened, closed and made again there.
    """

    def __init__(self, connection: AdbConnection) -> None:
        self.connection = connection

    @property
    def name(self) -> str:
        """Address or serial number of the phone, for messages."""
        return self.connection.name

    def shell(self, command: str, timeout_s: float | None = None) -> ShellResult:
        """Run a command that may be repeated; reconnects when the link is lost.

        Args:
            command: Command line for the phone's shell.
            timeout_s: Longest silence in seconds; by default `LinkConfig.command_s`.

        Raises:
            DeviceUnreachable: The phone did not come back.
        """
        silence_s = timeout_s or self.connection.config.command_s
        return self.connection.persist(lambda: self._shell(command, silence_s))

    def run(self, command: str, timeout_s: float | None = None) -> ShellResult:
        """Run a command like `shell` does, where any exit code but 0 is an error.

        Raises:
            DeviceError: The command failed on the phone.
            DeviceUnreachable: The phone did not come back.
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

        The data of EXIT is the exit code as one byte. On phones without shell v2 standard error is
        merged into standard output.

        Raises:
            LinkLost: The link broke, or nothing came for `silence_s`.
        """
        if "shell_v2" in self.connection.features:
            packets = self._service(b"shell,v2,raw", command, silence_s)
            yield from split_v2(packets, self.name)
        else:
            token = secrets.token_hex(8)
            wrapped = f'( {command}\n) 2>&1; echo "{token}$?"'
            yield from split_token(self._service(b"shell", wrapped, silence_s), token.encode())

    def _service(self, service: bytes, command: str, silence_s: float) -> Iterator[bytes]:
        from devices.adb.stream import Stream, StreamClosed

        adb = self.connection.adb
        try:
            stream = Stream(adb, service + b":" + command.encode(), silence_s)
            while True:
                try:
                    yield stream.read()
                except StreamClosed:
                    return
        except Exception as error:
            self.connection.close()
            raise link_error(self.name, error) from error
        except BaseException:  # closed early, or Ctrl-C
            self.connection.close()  # the command's later output would be taken for another's
            raise

    def push(self, data: bytes, path: str, mode: int = 0o644) -> None:
        """Write a file on the phone: whole, or not at all.

        It goes to a temporary name, its size is checked, and then it is renamed.

        Args:
            data: Content of the file.
            path: Path on the phone.
            mode: Permission bits.

        Raises:
            StorageFull: No room on the phone.
            DeviceError: The phone refused the file.
            DeviceUnreachable: The phone did not come back.
        """
        self.connection.persist(lambda: self._push(data, path, mode))

    def _push(self, data: bytes, path: str, mode: int) -> None:
        from devices.adb.stream import SendRefused, StreamClosed, send_file

        part, seconds = f"{path}.part", self.connection.config.command_s
        try:
            adb = self.connection.adb
            send_file(adb, data, part, mode, seconds)
            size = adb.stat(part, transport_timeout_s=seconds, read_timeout_s=seconds)[1]
        except StreamClosed as error:
            raise LinkLost(f"{self.name}: the phone ended the transfer of {path}") from error
        except SendRefused as error:
            self._shell(f"rm -f {shlex.quote(part)}", seconds)
            reason = error_text(error)
            if "space" in reason.lower() or "quota" in reason.lower():
                raise StorageFull(
                    f"{self.name}: no room for {len(data)} bytes: {reason}; free some space on the "
                    "phone"
                ) from error
            raise DeviceError(f"{self.name}: cannot write {path}: {reason}") from error
        if size != len(data):
            raise LinkLost(f"{self.name}: {size} of {len(data)} bytes of {path} arrived")
        moved = self._shell(f"mv -f {shlex.quote(part)} {shlex.quote(path)}", seconds)
        if moved.code != 0:
            raise DeviceError(f"{self.name}: cannot rename {part}: {moved.complaint}")

    def pull(self, path: str) -> bytes:
        """Content of a file on the phone.

        Raises:
            DeviceError: There is no such file.
            DeviceUnreachable: The phone did not come back.
        """
        return self.connection.persist(lambda: self._pull(path))

    def _pull(self, path: str) -> bytes:
        from adb_shell.exceptions import AdbCommandFailureException

        target = io.BytesIO()
        seconds = self.connection.config.command_s
        try:
            adb = self.connection.adb
            adb.pull(path, target, transport_timeout_s=seconds, read_timeout_s=seconds)
        except AdbCommandFailureException as error:
            self.connection.connect()
            raise DeviceError(f"{self.name}: cannot read {path}: {error_text(error)}") from error
        return target.getvalue()
