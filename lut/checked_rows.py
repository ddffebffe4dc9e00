"""Rows that are read back from a latency table, or are to be written into it: typed and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from elasticvit.errors import EvitError, StoreError
from elasticvit.reading import Format

T = TypeVar("T")
MEND = (
    "put a copy of the table back, or delete this row with the program sqlite3, or move the table "
    "away and profile again"
)
SLOWEST_US = 1e8  # a run of more than 100 s: the unit must be wrong
# SQLite keeps infinities, so every number has bounds
Us = Annotated[float, Meta(gt=0, le=SLOWEST_US)]  # a run, in microseconds
Ms = Annotated[float, Meta(gt=0, le=SLOWEST_US / 1e3)]  # a run, in milliseconds
Figure = Annotated[float, Meta(ge=-1e12, le=1e12)]
FromZero = Annotated[float, Meta(ge=0, le=1e12)]


def row_failure(where: str, table: str, number: object, problem: str) -> EvitError:
    """The error of a damaged row.

    Args:
        where: What a message calls the file.
        table: Table within the file.
        number: The row's `id`.
        problem: Column, value and rule.
    """
    return StoreError(f"{where}, row {number} of table {table}: {problem}; {MEND}")


def checked_rows(
    kind: type[T], columns: Sequence[str], rows: Iterable[Sequence[Any]], where: str, table: str
) -> list[T]:
    """Rows as typed values.

    Args:
        kind: Type of each row, with one field a column, annotated with its rule; numbers have
            bounds, which infinities break.
        columns: Names of the columns, the first of which is `id`.
        rows: Values of the columns of each row.
        where: What a message calls the file.
        table: Table within the file.

    Raises:
        StoreError: A value breaks its rule; with table, row, column, value and rule.
    """
    found = []
    for row in rows:
        plain = dict(zip(columns, row, strict=True))
        try:
            found.append(msgspec.convert(plain, kind))
        except msgspec.ValidationError:
            form = Format(kind=kind, what="a latency table", error=StoreError, mend=MEND)
            form.parse(plain, f"{where}, row {row[0]} of table {table}")
            raise
    return found
