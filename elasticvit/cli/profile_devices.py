"""The devices of a profile: opened as the options say, their runner remembered once it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import EvitError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices import Device


class Devices:
    """Opens the devices that are named.

    Args:
        folder: whose settings hold the runner of phones where none is named.
        names: of the devices.
        address, serial: of the phone, where one is named.
        runner: `benchmark_model` for the phones.

    Raises:
        EvitError: a runner, and no phone among the devices.
    """

    def __init__(
        self,
        folder: Workspace,
        names: Sequence[str],
        *,
        address: str | None,
        serial: str | None,
        runner: str | None,
    ) -> None:
        from devices.registry import BUILT_IN

        self._folder, self._address, self._serial = folder, address, serial
        self._runner = None if runner is None else Path(runner).resolve()
        self._phones = {name for name in names if name not in BUILT_IN}
        self._to_remember = self._runner is not None
        if runner is not None and not self._phones:
            raise EvitError(
                f"--runner {runner} is for phones, and {names[0]} is none: leave it out, or name "
                "the phone with --device"
            )

    def open(self, name: str, notice: Callable[[str], None]) -> Device:
        """The device of a name, not yet entered; see `devices.registry.open_device`."""
        from devices import open_device

        return open_device(
            name,
            self._folder,
            address=self._address,
            serial=self._serial,
            runner=self._runner if name in self._phones else None,
            notice=notice,
        )

    def worked(self, name: str) -> None:
        """A device timed something: the workspace remembers the runner from now on."""
        if self._to_remember and name in self._phones:
            self._to_remember = False
            self._folder.update({"runner": str(self._runner)})
