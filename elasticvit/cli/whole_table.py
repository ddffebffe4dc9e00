"""A table that loses nothing in a narrow terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table

WIDEST = 10_000  # characters, more than any table has
FRAME = 3  # characters of a column's border and padding
FOLDED = 12  # characters that a column which may break words has at least


@dataclass(frozen=True)
class WholeTable:
    """A table as wide as the terminal, and wider where cells that are folded between words do not
    fit: rich would cut columns and figures off, the terminal breaks the lines."""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.update(width=WIDEST)
        for column in self.table.columns:
            column.min_width = _least_width(console, wide, column)
        columns = self.table.columns
        least = sum(column.min_width or 0 for column in columns) + len(columns) * FRAME + 1
        yield from console.render(self.table, options.update(width=max(options.max_width, least)))


def _least_width(console: Console, wide: ConsoleOptions, column: Column) -> int:
    """Characters of the longest cell of a column, or of its longest word if cells are folded."""
    sizes = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
    least = max(size.maximum if column.no_wrap else size.minimum for size in sizes)
    least = min(least, FOLDED) if column.overflow == "fold" else least
    return max(least, column.min_width or 0)
