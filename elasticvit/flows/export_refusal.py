"""Files of an export that are refused, while the files of other formats are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elasticvit.errors import ExportError


@contextmanager
def collected(refused: list[ExportError]) -> Iterator[None]:
    """Add the refusal of a file to a list, in place of ending the export.

    Args:
        refused: Receives the error.
    """
    try:
        yield
    except ExportError as error:
        refused.append(error)


def refusal(refused: Sequence[ExportError], kept: Sequence[Path]) -> ExportError:
    """The error that an export with refused files ends with.

    Args:
        refused: Why each of them is refused, at least one.
        kept: Paths of the files that are proven and kept.
    """
    first = refused[0]
    if len(refused) == 1 and not kept:
        return first
    paths = ", ".join(map(str, kept))
    error = ExportError(
        "; ".join(map(str, refused)) + (f" (proven and kept: {paths})" if kept else ""),
        settings=list(dict.fromkeys(name for one in refused for name in one.settings)),
        next_step=first.next_step,
    )
    error.__cause__ = first
    return error
