"""Names of files and classes as a message shows them: on one line, whatever they hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LISTED = 8  # names that a message lists


def named(name: str | Path) -> str:
    """A name itself, or in quotation marks with escapes if it cannot be printed on a line."""
    text = str(name)
    return text if text.isprintable() else ascii(text)


def listed(names: Iterable[object]) -> str:
    """The first few of some names."""
    texts = [named(str(name)) for name in names]
    more = f" and {len(texts) - LISTED:,} more" if len(texts) > LISTED else ""
    return ", ".join(texts[:LISTED]) + more
