"""The link to one phone: commands with exit codes, files, and reconnecting.

Every failure of the link becomes `LinkLost`, whatever adb-shell, the socket or libusb raised.
Commands and pushes may be repeated, so they reconnect by themselves, with growing pauses, for
as long as the link's patience lasts; a stream's reader decides itself what to do.
"""

from __future__ import annotations

import io
import secrets
import shlex
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devices.shell_output import EXIT, STDERR, STDOUT, LinkLost, ShellResult, split_token, split_v2
from elasticvit.errors import DeviceError, DeviceUnauthorised, DeviceUnreachable

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0


class StorageFull(DeviceError):
    """The phone has no room for what was sent."""


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """How patient a link is; all in seconds.

    Attributes:
        connect_s: for a connection.
        dialog_s: for the user to accept this computer on the phone.
        command_s: of silence in a short command or a push.
        patience_s: how long a lost phone is waited for.
    """

    connect_s: float = 5.0
    dialog_s: float = 60.0
    command_s: float = 30.0
    patience_s: float = 300.0


class AdbLink:
    """A link to the phone at an address, or on USB.

    Args:
        address: `HOST[:PORT]` or `unix:PATH`; None for USB.
        serial: of the phone on USB; None takes the only one.
        keys: private keys to try; by default those of the `adb` program.
        notice: told about what a person should know, such as a dialog or a lost link.

    Attributes:
        reconnects: how often the link was lost and found again.
    """

    def __init__(
        self,
        address: str | None = None,
        serial: str | None = None,
        *,
        config: LinkConfig | None = None,
        keys: list[Path] | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name = address or f"USB {serial or 'phone'}"
        self.address, self.serial = address, serial
        self.config = config or LinkConfig()
        self.keys = keys
        self.notice = notice
        self.reconnects = 0
        self._adb: Any = None
        self._transport: Any = None

    def connect(self) -> None:
        """Connect once.

        Raises:
            DeviceUnauthorised: the phone does not accept this computer.
            LinkLost: no answer.
            DeviceError: USB support is missing, or a bad address.
        """
        from adb_shell.adb_device import AdbDevice
        from adb_shell.exceptions import DeviceAuthError

        from devices.adb_keys import load_signers
        from devices.adb_transport import SocketTransport, UsbTransport

        self.close()
        signers = load_signers(self.keys)
        self._transport = (
            SocketTransport(self.address) if self.address else UsbTransport(self.serial)
        )
        adb = AdbDevice(self._transport, self.config.connect_s)
        asked = False

        def ask(_: Any) -> None:
            nonlocal asked
            asked = True
            self.notice(f"{self.name}: accept the dialog on the phone (Allow USB debugging?)")

        try:
            adb.connect(
                rsa_keys=signers,
                transport_timeout_s=self.config.connect_s,
                auth_timeout_s=self.config.dialog_s,
                read_timeout_s=max(self.config.connect_s, self.config.dialog_s),
                auth_callback=ask,
            )
        except DeviceError:
            raise
        except DeviceAuthError as error:
            raise DeviceUnauthorised(f"{self.name} refused this computer: {error}") from error
        except Exception as error:
            adb.close()
            if asked:
                raise DeviceUnauthorised(
                    f"{self.name} has not accepted this computer's key within "
                    f"{self.config.dialog_s:g} s; accept the dialog on the phone and run the "
                    "command again"
                ) from error
            raise self._lost(error) from error
        self._adb = adb

    def close(self) -> None:
        """Drop the connection."""
        if self._adb is not None:
            try:
                self._adb.close()
            except Exception as error:  # the pipe was broken before; there is nothing to save
                self.notice(f"{self.name}: closing failed: {error}")
            self._adb = None

    def reconnect(self) -> None:
        """Connect again with growing pauses.

        Raises:
            DeviceUnreachable: the phone did not come back in time.
            DeviceUnauthorised: it came back and refuses this computer.
        """
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        told = False
        while True:
            try:
                self.connect()
            except LinkLost as error:
                waited_s = time.monotonic() - started
                if waited_s + pause_s > self.config.patience_s:
                    raise DeviceUnreachable(
                        f"{self.name} did not come back within {self.config.patience_s:g} s "
                        f"({error}); check the cable or the network and run the command again"
                    ) from error
                if not told and waited_s > 2:
                    self.notice(f"{self.name}: link lost; waiting for the phone to come back")
                    told = True
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self.reconnects += 1
                return

    @property
    def features(self) -> frozenset[str]:
        """What the phone's adbd said that it can do, such as `shell_v2`."""
        _, _, listed = self._transport.banner.partition(b"features=")
        text = listed.split(b"\0")[0].split(b";")[0].decode("ascii", "replace")
        return frozenset(name for name in text.split(",") if name)

    def shell(self, command: str, timeout_s: float | None = None) -> ShellResult:
        """Run a command that may be repeated; reconnects when the link is lost.

        Args:
            timeout_s: of silence; by default `command_s`.

        Raises:
            DeviceUnreachable: the phone did not come back.
        """
        return self._persist(lambda: self._shell(command, timeout_s or self.config.command_s))

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
            raise self._lost(error) from error
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
        self._persist(lambda: self._push(data, path, mode))

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
            reason = _words(error)
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
        return self._persist(lambda: self._pull(path))

    def _pull(self, path: str) -> bytes:
        from adb_shell.exceptions import AdbCommandFailureException

        target = io.BytesIO()
        seconds = self.config.command_s
        try:
            self._adb.pull(path, target, transport_timeout_s=seconds, read_timeout_s=seconds)
        except AdbCommandFailureException as error:
            self.connect()
            raise DeviceError(f"{self.name}: cannot read {path}: {_words(error)}") from error
        return target.getvalue()

    def _persist(self, action: Callable[[], T]) -> T:
        """Do something that may be repeated until the link holds."""
        deadline = time.monotonic() + self.config.patience_s
        while True:
            try:
                if self._adb is None:
                    raise LinkLost(f"{self.name}: not connected")
                return action()
            except (DeviceUnauthorised, StorageFull):
                raise
            except LinkLost:
                if time.monotonic() > deadline:
                    raise
            except DeviceError:
                raise
            except Exception as error:
                lost = self._lost(error)
                if time.monotonic() > deadline:
                    raise lost from error
            except BaseException:  # Ctrl-C
                self.close()  # half a packet may be under way
                raise
            self.close()
            self.reconnect()

    def _lost(self, error: Exception) -> DeviceError:
        """The error to raise for what adb-shell, the socket or libusb raised.

        Anything that is not a failure of the link is a fault of this program and passes.
        """
        from adb_shell import exceptions

        kinds = tuple(vars(exceptions)[name] for name in vars(exceptions) if name[0].isupper())
        if isinstance(error, (OSError, struct.error, *kinds)):
            return LinkLost(f"{self.name}: {_words(error)}")
        if type(error).__module__.startswith("usb1"):
            return LinkLost(
                f"{self.name}: {_words(error)}; if the adb server holds the phone, run "
                "`adb kill-server`"
            )
        raise error


def _words(error: Exception) -> str:
    """An error's text; adb-shell passes raw bytes in some."""
    texts = [
        a.decode(errors="replace") if isinstance(a, bytes | bytearray) else a for a in error.args
    ]
    return " ".join(str(text) for text in texts) or type(error).__name__
