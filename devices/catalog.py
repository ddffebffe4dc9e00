"""The catalogue: phones by the names that people use, and how to recognise them.

The project's own lies beside this file; a workspace may hold `devices.toml` of the same form,
whose phones come first and may also name their `address`, `serial` and `runner`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from devices.phone import PhoneFacts
from elasticvit.errors import DeviceError
from elasticvit.workspace import Workspace

BUILT_IN = Path(__file__).with_name("catalog.toml")
USER_FILE = "devices.toml"


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """A phone or board.

    Attributes:
        name: what `--device` takes.
        product, soc, clusters: for people.
        match: `getprop` names, each with the values that this phone may have.
        board: beginnings of the name in the device tree.
        address: `HOST[:PORT]` where this phone is found, if it has a fixed one.
        serial: of the phone on USB, if only this one is meant.
        runner: its `benchmark_model` on this computer.
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
        """Whether a phone is this one."""
        if self.board and facts.board.startswith(self.board):
            return True
        for prop, values in self.match.items():
            if facts.props.get(prop, "").lower() in {value.lower() for value in values}:
                return True
        return False

    def check(self, facts: PhoneFacts) -> None:
        """Make sure that a connected phone is this one.

        Raises:
            DeviceError: it is another; both are named.
        """
        if self.matches(facts):
            return
        device = facts.props.get("ro.product.device", "not told")
        found = next((e.name for e in load_catalog().values() if e.matches(facts)), None)
        step = (
            f"run the command with --device {found}"
            if found
            else f"add it to the workspace's {USER_FILE}:\n{entry_for(facts)}"
        )
        raise DeviceError(
            f"the connected phone is {facts.product} (ro.product.device = {device}), not "
            f"{self.name} ({self.product}); {step}"
        )


def entry_for(facts: PhoneFacts) -> str:
    """TOML that describes a connected phone, to be pasted into a workspace's `devices.toml`."""
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

    Raises:
        DeviceError: the workspace's file is malformed; the file, the entry and the rule are named.
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
        raise DeviceError(f"{where}: unknown key {unknown[0]!r}; known are {known}")
    for key in texts:
        if key in table and not isinstance(table[key], str):
            raise DeviceError(f"{where}: {key} = {table[key]!r} is not a text")
    match, board = table.get("match", {}), table.get("board", [])
    if not isinstance(match, dict) or not all(_texts(values) for values in match.values()):
        raise DeviceError(f'{where}: match must look like {{ "ro.product.device" = ["oriole"] }}')
    if not _texts(board):
        raise DeviceError(f"{where}: board = {board!r} is not a list of texts")
    if not match and not board:
        raise DeviceError(f"{where}: names neither match nor board, so that any phone would do")
    return CatalogEntry(
        name=name,
        match={prop: tuple(values) for prop, values in match.items()},
        board=tuple(board),
        **{key: table[key] for key in texts if key in table},
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
