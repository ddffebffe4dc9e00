"""Devices that are connected, and those that are known by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from elasticvit.flows.settings import WorkspaceLike, workspace_of

if TYPE_CHECKING:
    from devices.discovery import Connected


@dataclass(frozen=True)
class DeviceList:
    """Devices.

    Attributes:
        connected: Phones on USB, at the addresses asked for and at those of the workspace.
        known: Names that a profile takes.
    """

    connected: Sequence[Connected]
    known: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"connected": [asdict(c) for c in self.connected], "known": list(self.known)}


def list_devices(addresses: Sequence[str] = (), *, workspace: WorkspaceLike = None) -> DeviceList:
    """What is connected now, in which state, and what is known by name.

    Args:
        addresses: `HOST[:PORT]` of phones to ask besides.

    Raises:
        DeviceError: the workspace's `devices.toml` is malformed, or a bad address.
    """
    from devices.discovery import list_devices as find
    from devices.registry import known_devices

    here = workspace_of(workspace)
    return DeviceList(find(here, addresses), known_devices(here))
