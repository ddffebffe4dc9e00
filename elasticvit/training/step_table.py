"""A table of a run as a CSV file, its rows in the order of the steps, readable while it grows.

Rows of steps that are about to be done again, because the run was killed behind its last
checkpoint, are dropped before the first row is added, and so is a last row that was not written
to its end. A file of an earlier version lacks the last columns; they are then empty.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from elasticvit.files import write_atomic, writing
from elasticvit.reading import Format


class StepRow(Protocol):
    """A row of a table: a struct whose fields are the columns."""

    @property
    def step(self) -> int: ...


R = TypeVar("R", bound=StepRow)


@dataclass(frozen=True, kw_only=True)
class TableFormat(Generic[R]):
    """How a kind of table is read.

    Attributes:
        row: Type of a row, a `msgspec.Struct`; columns that an earlier version did not have
            come last and have the default None.
        format: Format of all rows: a struct with the one field `rows`.
    """

    row: type[R]
    format: Format[Any]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        names: tuple[str, ...] = self.row.__struct_fields__  # type: ignore[attr-defined]
        return names

    @property
    def required(self) -> int:
        """Number of columns that every version wrote."""
        return len(self.columns) - len(self.row.__struct_defaults__)  # type: ignore[attr-defined]

    def read(self, path: Path) -> list[R]:
        """The rows of a table; none if there is no such file.

        Raises:
            EvitError: The table is damaged; of the format's type.
        """
        return list(self._checked(path, self.texts(path)))

    def texts(self, path: Path) -> list[list[str]]:
        """The rows as texts, each with all columns; none if there is no such file.

        Raises:
            EvitError: The file is no table of these columns; of the format's type.
        """
        if not path.exists():
            return []
        failure = self.format.failure
        raw = self.format.read_bytes(path)
        whole = raw[: raw.rfind(b"\n") + 1]  # a run that was killed may leave a part of a row
        try:
            header, *rows = list(csv.reader(io.StringIO(whole.decode(), newline=""))) or [[]]
        except (UnicodeDecodeError, csv.Error) as error:
            raise failure(f"{path} is not a table of comma-separated values") from error
        known = self.columns[: max(len(header), self.required)]
        if tuple(header) != known and raw:
            names = ", ".join(self.columns[: self.required])
            raise failure(f"{path} does not begin with the columns {names}")
        for number, row in enumerate(rows, 2):
            if len(row) != len(header):
                raise failure(
                    f"{path}: line {number} has {len(row)} values; there are {len(header)} columns"
                )
        missing = [""] * (len(self.columns) - len(header))
        return [[*row, *missing] for row in rows]

    def _checked(self, path: Path, rows: Sequence[Sequence[str]]) -> Sequence[R]:
        plain = [
            {n: _value(text) for n, text in zip(self.columns, row, strict=True)} for row in rows
        ]
        checked: Sequence[R] = self.format.parse({"rows": plain}, str(path)).rows
        return checked

    def kept(self, path: Path, step: int) -> tuple[list[list[str]], list[R]]:
        """The rows up to a step, as texts and as values; raises as `read` does."""
        texts = self.texts(path)
        rows = self._checked(path, texts)
        pairs = [(text, row) for text, row in zip(texts, rows, strict=True) if row.step <= step]
        return [text for text, _ in pairs], [row for _, row in pairs]


class StepTable(Generic[R]):
    """Appends to a table.

    Args:
        path: File of the table.
        table: How it is read.
        step: Number of steps done; later rows are dropped.

    Attributes:
        rows: The rows that were kept.

    Raises:
        EvitError: There is a table that is damaged; of the format's type.
        FileError: The table cannot be written.
    """

    def __init__(self, path: Path, table: TableFormat[R], step: int) -> None:
        self.path, self.columns = path, table.columns
        kept, self.rows = table.kept(path, step)
        text = io.StringIO()
        csv.writer(text).writerows([self.columns, *kept])
        write_atomic(path, text.getvalue())

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, values by column; None and columns that are left out stay empty.

        Raises:
            FileError: The table cannot be written.
        """
        lines = [["" if row.get(n) is None else row[n] for n in self.columns] for row in rows]
        text = io.StringIO()
        csv.writer(text).writerows(lines)
        with writing(self.path), self.path.open("a", newline="") as file:
            file.write(text.getvalue())


def table_format(row: type[R], **facts: Any) -> TableFormat[R]:
    """The format of a table.

    Args:
        row: Type of a row.
        facts: What `Format` holds of it besides its type.
    """
    rows = msgspec.defstruct("Rows", [("rows", tuple[row, ...])], frozen=True)  # type: ignore[valid-type]
    return TableFormat(row=row, format=Format(kind=rows, **facts))


def _value(text: str) -> Any:
    """The number that a text is, None for an empty one, or the text."""
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
