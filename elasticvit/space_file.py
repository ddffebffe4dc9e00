"""The file of a search space: one TOML table of its layout, one of its choices."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import msgspec

from elasticvit.errors import SpaceError
from elasticvit.kernels import Layout
from elasticvit.reading import Format

LAYOUT_TYPES = get_type_hints(Layout)
LayoutTable: Any = msgspec.defstruct(
    "LayoutTable",
    [(f.name, LAYOUT_TYPES[f.name], f.default) for f in fields(Layout)],
    forbid_unknown_fields=True,
)


class SpaceFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A search space as its TOML file describes it.

    Attributes:
        name: name of the space.
        layout: fields of `Layout`; those that are left out have its defaults.
        choices: choices of each gene by name, without `stem.expansion` if that is 1.
    """

    name: str
    layout: LayoutTable = msgspec.field(default_factory=LayoutTable)
    choices: dict[str, tuple[int, ...]]


SPACE_FORMAT = Format(
    kind=SpaceFile,
    what="a search space",
    error=SpaceError,
    mend="correct the file, or name another search space",
    settings=("space",),
)
