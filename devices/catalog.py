"""The catalogue: known phones by name, and how to recognise a connected one.

The built-in catalogue is the file `catalog.toml` beside this one. A workspace may hold a file
`devices.toml` of the same format; its phones take precedence and may also have an `address`, a
`serial` and a `runner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from devices.phone.facts import PhoneFacts
from elasticvit.errors import DeviceError
from elasticvit.workspace import Workspace

BUILT_IN = Path(__file__).with_name("catalog.toml")
USER_FILE = "devices.toml"


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A phone or board.

    Attributes:
        name: Name of the device in commands and tables.
        product, soc, clusters: Names of the phone, its processor and its CPU clusters, for display.
        match: Accepted values of Android properties, by `getprop` name; one match is enough.
        board: Accepted prefixes of the board's name in the device tree.
        address: `HOST[:PORT]` where this phone is found; None if it has no fixed one.
        serial: Serial number of the phone on USB; None takes any.
        runner: Path of its `benchmark_model` on this computer; None takes the workspace's.
    """

    name: str
    product: str = ""
    soc: str = ""
    clusters: str = ""
    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    board: tuple[str, ...] = ()
    address: str | None = None
    serial: str | None = None
    runner: str | None = None

    def matches(self, facts: PhoneFacts) -> bool:
        """Whether a phone with these facts matches this entry."""
        if self.board and facts.board.startswith(self.board):
            return True
        for prop, values in self.match.items():
            if facts.props.get(prop, "").lower() in {value.lower() for value in values}:
                return True
        return False

    def check(self, facts: PhoneFacts) -> None:
        """Check that a connected phone matches this entry.

        Raises:
            DeviceError: The connected phone is another one; the message names both.
        """
        if self.matches(facts):
            return
        device = facts.props.get("ro.product.device", "not reported")
        found = next((e.name for e in load_catalog().values() if e.matches(facts)), None)
        step = (
            f"name {found} as the device"
            if found
            else f"add it to the workspace's {USER_FILE}:\n{entry_for(facts)}"
        )
        raise DeviceError(
            f"the connected phone is {facts.product} (ro.product.device = {device}), not "
            f"{self.name} ({self.product}); {step}",
            settings=("device",),
        )


def entry_for(facts: PhoneFacts) -> str:
    """TOML entry of a connected phone, to be pasted into a workspace's `devices.toml`."""
    device = facts.props.get("ro.product.device")
    name = "".join(c if c.isalnum() else "-" for c in (device or facts.board).lower()) or "myphone"
    lines = [f"[{name}]", f"product = {facts.product!r}"]
    if device:
        lines.append(f'match = {{ "ro.product.device" = [{device!r}] }}')
    else:
        lines.append(f"board = [{facts.board!r}]")
    return "\n".join(lines).replace("'", '"')


def load_catalog(workspace: Workspace | None = None) -> dict[str, CatalogEntry]:
    """All entries by name, a workspace's own first.

    Args:
        workspace: Workspace whose `devices.toml` is read, if there is one.

    Raises:
        DeviceError: The workspace's file is malformed; the file, the entry and the rule are named.
    """
    entries: dict[str, CatalogEntry] = {}
    if workspace is not None and (workspace.root / USER_FILE).exists():
        entries |= _read(workspace.root / USER_FILE)
    return entries | {k: v for k, v in _built_in().items() if k not in entries}


@lru_cache(maxsize=1)
def _built_in() -> dict[str, CatalogEntry]:
    return _read(BUILT_IN)


def _read(path: Path) -> dict[str, CatalogEntry]:
    try:
        document: dict[str, Any] = tomlkit.parse(path.read_text()).unwrap()
    except (OSError, UnicodeDecodeError, TOMLKitError) as error:
        raise DeviceError(f"{path} cannot be read: {error}") from error
    return {name: _entry(path, name, table) for name, table in document.items()}


def _entry(path: Path, name: str, table: Any) -> CatalogEntry:
    where = f"{path}, [{name}]"
    if not isinstance(table, dict):
        raise DeviceError(f"{where}: not a table; a phone is written as [{name}] and its keys")
    texts = ("product", "soc", "clusters", "address", "serial", "runner")
    if unknown := sorted(set(table) - {*texts, "match", "board"}):
        known = ", ".join((*texts, "match", "board"))
        raise DeviceError(f"{where}: unknown key {unknown[0]!r}; use {known}")
    for key in texts:
        if key in table and not isinstance(table[key], str):
            raise DeviceError(f"{where}: {key} = {table[key]!r} is not a string; put it in quotes")
    match, board = table.get("match", {}), table.get("board", [])
    if not isinstance(match, dict) or not all(_texts(values) for values in match.values()):
        raise DeviceError(f'{where}: match must look like {{ "ro.product.device" = ["oriole"] }}')
    if not _texts(board):
        raise DeviceError(f"{where}: board = {board!r} is not a list of strings")
    if not match and not board:
        raise DeviceError(
            f"{where}: has neither match nor board, so any phone would match; add one"
        )
    return CatalogEntry(
        name=name,
        match={prop: tuple(values) for prop, values in match.items()},
        board=tuple(board),
        **{key: table[key] for key in texts if key in table},
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
