"""A connection to one phone that is restored when it is lost.

Every failure of the connection becomes a `LinkLost`, whatever adb-shell, the socket or libusb
raised. Attempts to reconnect are repeated with growing pauses for at most `LinkConfig.patience_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from devices.adb.address import UNIX, parse_address
from devices.adb.errors import LinkLost, link_error
from devices.pauses import pause
from elasticvit.errors import DeviceError, DeviceUnauthorised, DeviceUnreachable

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 10.0
NOTICE_AFTER_S = 2.0  # shorter interruptions are not reported


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """Time limits of a link, in seconds.

    Attributes:
        connect_s: Longest time for making a connection.
        dialog_s: Longest time for the user to accept this computer on the phone.
        command_s: Longest silence of the phone during a short command or a push.
        patience_s: Longest wait for a lost phone.

    Raises:
        DeviceError: A limit is negative.
    """

    connect_s: float = 5.0
    dialog_s: float = 60.0
    command_s: float = 30.0
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            if (value := getattr(self, limit.name)) < 0:
                raise DeviceError(f"{limit.name} = {value}; a time limit must be at least 0 s")


class AdbConnection:
    """A connection to the phone at an address, or on USB.

    Args:
        address: `HOST[:PORT]` or `unix:PATH`; None for USB.
        serial: Serial number of the phone on USB; None takes the only one.
        config: Time limits.
        keys: Private keys to try; by default those of the `adb` program.
        notice: Callback for notices to the user, such as a dialog on the phone or a lost link.

    Attributes:
        name: Address or serial number, for messages.
        reconnects: Number of times that the link was lost and restored.

    Raises:
        DeviceError: The address has none of these forms.
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
        if address and not address.startswith(UNIX):
            parse_address(address)  # refused before a connection is needed
        self.name = address or f"USB {serial or 'phone'}"
        self.address, self.serial = address, serial
        self.config = config or LinkConfig()
        self.keys = keys
        self.notice = notice
        self.reconnects = 0
        self._adb: Any = None
        self._transport: Any = None

    @property
    def adb(self) -> Any:
        """The connected `adb_shell.adb_device.AdbDevice`.

        Raises:
            LinkLost: There is no connection.
        """
        if self._adb is None:
            raise LinkLost(f"{self.name}: not connected; call `connect` first")
        return self._adb

    @property
    def features(self) -> frozenset[str]:
        """Features that the phone's adbd reports, such as `shell_v2`.

        Raises:
            LinkLost: There is no connection.
        """
        _ = self.adb
        _, _, listed = self._transport.banner.partition(b"features=")
        text = listed.split(b"\0")[0].split(b";")[0].decode("ascii", "replace")
        return frozenset(name for name in text.split(",") if name)

    def connect(self) -> None:
        """Connect once.

        Raises:
            DeviceUnauthorised: The phone does not accept this computer.
            LinkLost: No answer.
            DeviceError: USB support is missing.
        """
        from adb_shell.adb_device import AdbDevice
        from adb_shell.exceptions import DeviceAuthError

        from devices.adb.keys import load_signers
        from devices.adb.transport import SocketTransport, UsbTransport

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
            raise DeviceUnauthorised(
                f"{self.name} refused this computer's key: {error}; accept the dialog on the "
                "phone and start again"
            ) from error
        except Exception as error:
            adb.close()
            if asked:
                raise DeviceUnauthorised(
                    f"{self.name} has not accepted this computer's key within "
                    f"{self.config.dialog_s:g} s; accept the dialog on the phone and start again"
                ) from error
            raise link_error(self.name, error) from error
        self._adb = adb

    def open(self) -> None:
        """Connect, and once more if somebody answered and then the link broke; raises as `connect`
        does."""
        try:
            self.connect()
        except LinkLost as error:
            if not isinstance(error.__cause__, ConnectionResetError | BrokenPipeError):
                raise
            pause(FIRST_PAUSE_S)
            self.connect()

    def close(self) -> None:
        """Drop the connection; does nothing when there is none."""
        if self._adb is not None:
            try:
                self._adb.close()
            except Exception as error:  # the pipe was broken before; there is nothing to save
                self.notice(f"{self.name}: closing failed: {error}")
            self._adb = None

    def reconnect(self) -> None:
        """Connect again with growing pauses.

        Raises:
            DeviceUnreachable: The phone did not come back in time.
            DeviceUnauthorised: It came back and refuses this computer.
        """
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        noticed = False
        while True:
            try:
                self.connect()
            except LinkLost as error:
                waited_s = time.monotonic() - started
                if waited_s + pause_s > self.config.patience_s:
                    raise DeviceUnreachable(
                        f"{self.name} did not come back within {self.config.patience_s:g} s "
                        f"({error}); check the cable or the network and start again"
                    ) from error
                if not noticed and waited_s > NOTICE_AFTER_S:
                    self.notice(f"{self.name}: link lost; waiting for the phone to come back")
                    noticed = True
                pause(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self.reconnects += 1
                return

    def persist(self, action: Callable[[], T]) -> T:
        """Run an action that may be repeated until the link holds.

        Raises:
            DeviceUnreachable: The phone did not come back.
            DeviceError: The phone refused the action.
        """
        deadline = time.monotonic() + self.config.patience_s
        while True:
            try:
                _ = self.adb
                return action()
            except LinkLost:
                if time.monotonic() > deadline:
                    raise
            except DeviceError:
                raise
            except Exception as error:
                lost = link_error(self.name, error)
                if time.monotonic() > deadline:
                    raise lost from error
            except BaseException:  # Ctrl-C
                self.close()  # half a packet may be under way
                raise
            self.close()
            self.reconnect()

    @contextmanager
    def limited_patience(self, patience_s: float) -> Iterator[None]:
        """Wait for a lost phone for at most `patience_s` seconds within the context."""
        usual = self.config
        self.config = replace(usual, patience_s=patience_s)
        try:
            yield
        finally:
            self.config = usual
