"""The devices of a profile: opened as its settings say, their runner remembered once it works."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from elasticvit.errors import SettingError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices import Device


class Address(Protocol):
    """The settings that say where devices are and what times models on phones."""

    @property
    def devices(self) -> tuple[str, ...]: ...

    @property
    def address(self) -> str | None: ...

    @property
    def serial(self) -> str | None: ...

    @property
    def runner(self) -> Path | str | None: ...


class DeviceOpener:
    """Opens the devices that are named.

    Args:
        workspace: Its settings hold the runner of phones if none is named.
        settings: The devices and where they are.

    Raises:
        SettingError: a runner is named, and no phone is among the devices.
    """

    def __init__(self, workspace: Workspace, settings: Address) -> None:
        from devices.registry import BUILT_IN

        self._workspace, self._settings = workspace, settings
        runner = settings.runner
        self._runner = None if runner is None else Path(os.path.realpath(runner))
        self._phones = {name for name in settings.devices if name not in BUILT_IN}
        self._to_remember = self._runner is not None
        if self._runner is not None and not self._phones:
            raise SettingError(
                f"runner {settings.runner} is for phones, and {settings.devices[0]} is none: "
                "leave it out, or name the phone",
                settings=["device"],
            )

    def open(self, name: str, notice: Callable[[str], None]) -> Device:
        """The device of a name, not yet entered; see `devices.registry.open_device`."""
        from devices import open_device

        return open_device(
            name,
            self._workspace,
            address=self._settings.address,
            serial=self._settings.serial,
            runner=self._runner if name in self._phones else None,
            notice=notice,
        )

    def remember_runner(self, name: str) -> None:
        """The device has timed a model: the workspace remembers the runner from now on."""
        if self._to_remember and name in self._phones:
            self._to_remember = False
            self._workspace.update({"runner": str(self._runner)})
