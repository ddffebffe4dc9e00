"""A connection to one phone that comes back when it is lost.

Every failure of it becomes `LinkLost`, whatever adb-shell, the socket or libusb raised. It is
made again with growing pauses, for as long as the link's patience lasts.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from devices.shell_output import LinkLost
from elasticvit.errors import DeviceError, DeviceUnauthorised, DeviceUnreachable

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0


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


class AdbConnection:
    """A connection to the phone at an address, or on USB.

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
            raise self.lost(error) from error
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

    def persist(self, action: Callable[[], T]) -> T:
        """Do something that may be repeated until the link holds.

        Raises:
            DeviceUnreachable: the phone did not come back.
            DeviceError: the phone refused it.
        """
        deadline = time.monotonic() + self.config.patience_s
        while True:
            try:
                if self._adb is None:
                    raise LinkLost(f"{self.name}: not connected")
                return action()
            except LinkLost:
                if time.monotonic() > deadline:
                    raise
            except DeviceError:
                raise
            except Exception as error:
                lost = self.lost(error)
                if time.monotonic() > deadline:
                    raise lost from error
            except BaseException:  # Ctrl-C
                self.close()  # half a packet may be under way
                raise
            self.close()
            self.reconnect()

    def lost(self, error: Exception) -> DeviceError:
        """The error to raise for what adb-shell, the socket or libusb raised.

        Anything that is not a failure of the link is a fault of this program and passes.
        """
        from adb_shell import exceptions

        kinds = tuple(vars(exceptions)[name] for name in vars(exceptions) if name[0].isupper())
        if isinstance(error, (OSError, struct.error, *kinds)):
            return LinkLost(f"{self.name}: {words(error)}")
        if type(error).__module__.startswith("usb1"):
            return LinkLost(
                f"{self.name}: {words(error)}; if the adb server holds the phone, run "
                "`adb kill-server`"
            )
        raise error


def words(error: Exception) -> str:
    """An error's text; adb-shell passes raw bytes in some."""
    texts = [
        a.decode(errors="replace") if isinstance(a, bytes | bytearray) else a for a in error.args
    ]
    return " ".join(str(text) for text in texts) or type(error).__name__
