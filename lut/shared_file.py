"""The files of shared tables: from CSV or parquet to a checked header and plain values of rows.

A CSV file's first line is `# ` and the header as JSON; a parquet file has it among its metadata,
where pandas keeps the attributes of a frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from elasticvit.errors import StoreError
from elasticvit.names import check_name
from elasticvit.precisions import FP32, Precision
from elasticvit.reading import MOST_BYTES, Count, Format, decode_json
from lut.graphs import UNMARKED
from lut.shared_row import COLUMNS, REAL, TEXTS, WHOLE

FORMAT = "elasticvit latency table"
SCHEMA = 4
WITHOUT_CALIBRATION = 1  # schema that knew no calibration models
OLD_CALIBRATION = "gauges"  # name of their column in schema 2
SUFFIXES = (".csv", ".parquet")
ATTRIBUTES = b"PANDAS_ATTRS"
MOST_ROWS, MOST_COLUMNS = 1_000_000, 1000
BATCH_ROWS = 64  # of a parquet file, so that little is unpacked before its size is known
MEND = "export the table again with elasticvit, or get it again"
LISTS = ("samples_us",)
JSON = ("calibration_us",)


class Header(msgspec.Struct, kw_only=True, frozen=True):
    """What a file says of its table.

    Attributes:
        format: What it is.
        schema: Version of the columns.
        device: Name of the device, as the table's owner called it.
        rows: Number of rows.
        split_seed: Seed of the held-out split; None if nothing was held out.
        precision: Precision of all models; earlier versions knew no other than fp32.
        graphs: Version of the graphs that were timed; see `lut.graphs`.
        fitted: Keys of the subnets that a search chose and had timed, which are no fair sample to
            judge a predictor by; none in files of earlier versions.
        sha256: `lut.shared_row.checksum` of the table; None in files of earlier versions.
    """

    format: Annotated[str, Meta(pattern=f"^{FORMAT}$")]
    schema: int
    device: str
    rows: Annotated[int, Meta(ge=0, le=MOST_ROWS)]
    split_seed: Count | None = None
    precision: Precision = FP32
    graphs: Count = UNMARKED
    fitted: tuple[str, ...] = ()
    sha256: str | None = None


def format_of(kind: type[Any], what: str, schema: int | None = None) -> Format[Any]:
    """How a part of a shared table is read."""
    return Format(kind=kind, what=what, error=StoreError, mend=MEND, schema=schema)


HEADER: Format[Header] = format_of(Header, "the header of a shared latency table", SCHEMA)
FILE: Format[Any] = format_of(object, "a shared latency table")


def suffixed(path: Path | str) -> Path:
    """A path that ends as shared tables do.

    Raises:
        StoreError: It ends otherwise.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise StoreError(f"table {path} ends in {path.suffix!r}; use {' or '.join(SUFFIXES)}")
    return path


def read_file(path: Path) -> tuple[Header, Iterator[Mapping[str, Any]]]:
    """Header and rows, the rows as plain values by column.

    Raises:
        StoreError: The file is unreadable, too large, half-written, of another format or schema,
            or lacks a column or has one twice.
    """
    import pyarrow as pa

    raw = FILE.read_bytes(suffixed(path))
    try:
        header, table = _of_csv(raw, path) if path.suffix == ".csv" else _of_parquet(raw, path)
        return header, records(_present(header, table, path))
    except (pa.ArrowException, OSError, ValueError) as error:  # what pyarrow raises
        if isinstance(error, StoreError):
            raise
        said = " ".join(str(error).split())[:300]
        raise FILE.failure(f"table {path} is damaged or of another format: {said}") from error


def records(table: Any) -> Iterator[Mapping[str, Any]]:
    """The rows of a `pyarrow.Table` as plain values by column.

    Texts that stand for numbers become numbers, whole numbers that were stored as floating-point
    ones become whole, and an empty text where a number may be missing becomes None. What cannot be
    understood stays, to be refused.
    """
    columns = [_plain(name, table.column(name).to_pylist()) for name in COLUMNS]
    return (dict(zip(COLUMNS, values, strict=True)) for values in zip(*columns, strict=True))


def _plain(name: str, values: Sequence[Any]) -> list[Any]:
    if name in TEXTS:
        return ["" if value is None else value for value in values]
    if name in WHOLE:
        return [_whole(_number(value)) for value in values]
    if name in REAL:
        return [_number(value) for value in values]
    if name in LISTS:
        return [_numbers(value.split()) if isinstance(value, str) else value for value in values]
    return [_object(value) for value in values]


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not value:
        return None
    try:
        return msgspec.convert(value, int | float, strict=False)
    except msgspec.ValidationError:
        return value


def _numbers(texts: Sequence[str]) -> list[Any]:
    try:
        return msgspec.convert(texts, list[float], strict=False)
    except msgspec.ValidationError:
        return list(map(_number, texts))


def _whole(value: Any) -> Any:
    exact = isinstance(value, float) and math.isfinite(value) and value.is_integer()
    return int(value) if exact else value


def _object(value: Any) -> Any:
    if value is None or value == "":
        return {}
    try:
        return decode_json(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def _present(header: Header, table: Any, path: Path) -> Any:
    """The table with the columns of the present schema, once each.

    Raises:
        StoreError: One is missing or there twice, or rows are missing.
    """
    import pyarrow as pa

    names = [JSON[0] if name == OLD_CALIBRATION else name for name in table.column_names]
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise FILE.failure(f"table {path} has the column {twice[0]} more than once")
    table = table.rename_columns(names)
    if header.schema == WITHOUT_CALIBRATION and JSON[0] not in names:
        table = table.append_column(JSON[0], pa.nulls(len(table), pa.string()))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise FILE.failure(f"table {path} lacks the columns {', '.join(missing)}")
    if header.rows != len(table):
        raise FILE.failure(
            f"table {path} has {len(table)} of the {header.rows} rows that its header names: it is "
            "half-written or was changed"
        )
    return table


def _header(text: bytes, path: Path) -> Header:
    where = f"header of table {path}"
    header = HEADER.parse_json(text, where)
    check_name(f"{where}: device", header.device, StoreError)
    return header


def _of_csv(raw: bytes, path: Path) -> tuple[Header, Any]:
    import pyarrow as pa
    from pyarrow import csv

    first, _, body = raw.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if not first.startswith(b"# "):
        raise FILE.failure(
            f"table {path} has no header: its first line is not '# ' and the header as JSON"
        )
    header = _header(first[2:], path)
    if not body.endswith(b"\n"):
        raise FILE.failure(f"table {path} is half-written: its last row is cut off")
    table = csv.read_csv(
        pa.BufferReader(body),
        read_options=csv.ReadOptions(autogenerate_column_names=True, use_threads=False),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={f"f{i}": pa.string() for i in range(MOST_COLUMNS)},
            strings_can_be_null=False,
        ),
    )
    given = [str(column[0].as_py()) for column in table.columns]
    return header, table.slice(1).rename_columns(given)


def _of_parquet(raw: bytes, path: Path) -> tuple[Header, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    file = parquet.ParquetFile(pa.BufferReader(raw))
    attributes = (file.schema_arrow.metadata or {}).get(ATTRIBUTES)
    if attributes is None:
        raise FILE.failure(
            f"table {path} has no header: its metadata lack {ATTRIBUTES.decode()} with the header "
            "as JSON"
        )
    header = _header(attributes, path)
    if file.metadata.num_rows > MOST_ROWS:
        raise FILE.failure(
            f"table {path} has {file.metadata.num_rows:,} rows; it must have at most {MOST_ROWS:,}"
        )
    texts = [
        field.name
        for field in file.schema_arrow
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    file = parquet.ParquetFile(pa.BufferReader(raw), read_dictionary=texts)
    batches, size = [], 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS):
        size += sum(map(_byte_count, batch.columns))
        if size > MOST_BYTES:
            raise FILE.failure(
                f"table {path} unpacks to more than {MOST_BYTES:,} bytes; it must have fewer"
            )
        batches.append(batch)
    return header, pa.Table.from_batches(batches, None if batches else file.schema_arrow)


def _byte_count(column: Any) -> int:
    """Bytes of a column of a batch, equal texts counted each time."""
    import pyarrow as pa
    from pyarrow import compute

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = compute.take(compute.binary_length(column.dictionary), column.indices)
    return compute.sum(lengths).as_py() or 0
