"""Data sets in parquet tables: encoded images and labels, one row an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elasticvit.errors import DataError
from elasticvit.training.decoding import decoded
from elasticvit.training.labels import checked_labels, class_count
from elasticvit.training.naming import listed, named
from elasticvit.training.pool import TEST_NAMES, Pool, Source

MOST_ROWS = 100_000_000
NEEDED = "needed are one column of image bytes and one of whole-number labels"


def open_tables(path: Path, tables: Sequence[Path]) -> Source:
    """Parquet tables of a data set; files whose names contain test or validation are the test
    part.

    Args:
        path: File or folder that was named.
        tables: The files.

    Raises:
        DataError: A file is damaged, lacks a column, or has labels that cannot be.
    """
    test = [t for t in tables if any(n in t.stem.lower() for n in TEST_NAMES)]
    train = [t for t in tables if t not in test]
    if not train:
        train, test = test, []
    pool, where = _pool(train)
    classes = tuple(map(str, range(class_count(pool.labels, where))))
    name = path.stem if path.suffix == ".parquet" else path.name
    held = _pool(test)[0] if test else None
    return Source(str(path), name, classes, pool, held, flips=pool.in_colour)


def _pool(tables: Sequence[Path]) -> tuple[Pool, str]:
    """The images of tables, and what a message calls their labels."""
    import pyarrow as pa
    import pyarrow.compute as pc

    where = named(tables[0]) if len(tables) == 1 else f"{named(tables[0])} and others"
    files = [_opened(path) for path in tables]
    schema = files[0].schema_arrow
    image = next((f.name for f in schema if _holds_images(f.type)), None)
    label = next((f.name for f in schema if pa.types.is_integer(f.type)), None)
    starts = np.cumsum([0, *(file.metadata.num_rows for file in files)]).tolist()
    if image is None or label is None or starts[-1] == 0:
        columns = listed(schema.names)
        raise DataError(f"{where} has columns {columns} and {starts[-1]:,} rows; {NEEDED}")
    if starts[-1] > MOST_ROWS:
        raise DataError(f"{where} has {starts[-1]:,} rows; at most {MOST_ROWS:,} are read")
    column, labels = _rows(tables, files, [image, label])
    while pa.types.is_struct(column.type):
        column = pc.struct_field(column, "bytes")
    where = f"{where}, column {named(label)}"
    if labels.null_count:
        raise DataError(
            f"{where}: {labels.null_count:,} of {len(labels):,} rows have no label; add their "
            "labels, or remove these rows"
        )

    def name_of(index: int) -> str:
        file = int(np.searchsorted(starts, index, side="right")) - 1
        return f"{named(tables[file])}, row {index - starts[file]},"

    def read(index: int) -> Image.Image:
        return decoded(column[index].as_py(), name_of(index))

    return Pool(checked_labels(labels.to_numpy(), where), read, name_of), where


def _opened(path: Path) -> Any:
    """A parquet file of which only the description is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _rows(tables: Sequence[Path], files: Sequence[Any], columns: list[str]) -> Any:
    """The rows of all tables, with the columns that are needed."""
    import pyarrow as pa

    parts: list[Any] = []
    for path, file in zip(tables, files, strict=True):
        try:
            parts.append(file.read(columns=columns))
        except MemoryError:
            raise
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
    try:
        table = pa.concat_tables(parts)
        return [table.column(name) for name in columns]
    except (KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{named(tables[0])} and the tables beside it have different columns: "
            f"{listed(listed(part.schema.names) for part in parts)}; {NEEDED}, the same in all"
        ) from error


def _damaged(path: Path, error: Exception) -> DataError:
    reason = named((str(error) or type(error).__name__).splitlines()[0])
    return DataError(
        f"{named(path)} is not a parquet table, or a damaged one: {reason}; mend or remove it"
    )


def _holds_images(kind: Any) -> bool:
    """Whether a column of this type holds encoded images: bytes, or a record with bytes."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _holds_images(f.type) for f in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
