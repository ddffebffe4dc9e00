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
from typing import Annotated

import msgspec
import tomlkit
from msgspec import Meta

from devices.phone.facts import PhoneFacts
from elasticvit.errors import DeviceError
from elasticvit.names import check_name
from elasticvit.reading import Format, shown
from elasticvit.workspace import Workspace

BUILT_IN = Path(__file__).with_name("catalog.toml")
USER_FILE = "devices.toml"
Text = Annotated[str, Meta(min_length=1, max_length=1000)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=1000)]


class PhoneTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A phone or board as the catalogue's file describes it, under its name; the fields are those
    of `CatalogEntry`."""

    product: str = ""
    soc: str = ""
    clusters: str = ""
    match: dict[str, Texts] = {}
    board: tuple[Text, ...] = ()
    address: Text | None = None
    serial: Text | None = None
    runner: Text | None = None

    def __post_init__(self) -> None:
        if not self.match and not self.board:
            raise ValueError(
                "it has neither match nor board, so any phone would match; one of them is needed"
            )
        for name in ("address", "serial", "runner"):
            value = getattr(self, name)
            if value is not None and not value.isprintable():
                raise ValueError(f"its {name} is {shown(value)}, which must be printable text")


CATALOG_FORMAT = Format(
    kind=dict[str, PhoneTable],
    what="a catalogue of phones",
    error=DeviceError,
    mend=(
        "correct the file: a phone is a table [NAME] with match, such as "
        '{ "ro.product.device" = ["oriole"] }, or board, a list of texts, and if wanted the texts '
        "product, soc, clusters, address, serial and runner"
    ),
)


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
    name = "".join(c if c.isalnum() else "-" for c in (device or facts.board).lower())[:60]
    phone = tomlkit.table()
    phone["product"] = facts.product
    if device:
        phone["match"] = tomlkit.inline_table().append("ro.product.device", [device])
    else:
        phone["board"] = [facts.board]
    return tomlkit.dumps({name.strip("-") or "myphone": phone}).rstrip()


def load_catalog(workspace: Workspace | None = None) -> dict[str, CatalogEntry]:
    """All entries by name, a workspace's own first.

    Args:
        workspace: Workspace whose `devices.toml` is read, if there is one.

    Raises:
        DeviceError: The workspace's file is malformed; file, field, value and rule are named.
    """
    entries: dict[str, CatalogEntry] = {}
    if workspace is not None and (workspace.root / USER_FILE).exists():
        entries |= _read(workspace.root / USER_FILE)
    return entries | {k: v for k, v in _built_in().items() if k not in entries}


@lru_cache(maxsize=1)
def _built_in() -> dict[str, CatalogEntry]:
    return _read(BUILT_IN)


def _read(path: Path) -> dict[str, CatalogEntry]:
    return {
        check_name(f"the name of a phone in {path}", name, DeviceError): CatalogEntry(
            name=name, **msgspec.structs.asdict(table)
        )
        for name, table in CATALOG_FORMAT.read_toml(path).items()
    }
