"""Tables as files that people share: CSV or parquet, with a schema in the header.

The measurements of one series, one row each, with raw samples and all conditions; see
`lut.shared_row` for the columns and `lut.shared_file` for the files. What was imported keeps its
first source behind `import:FILE of`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from elasticvit.errors import StoreError
from elasticvit.files import write_atomic, writing
from elasticvit.precisions import FP32
from elasticvit.reading import Format
from lut.dataset import split_of
from lut.graphs import UNMARKED, graphs_of
from lut.keys import canonical
from lut.series import Series, printable_name
from lut.shared_file import FILE, FORMAT, SCHEMA, format_of, read_file, records, suffixed
from lut.shared_row import COLUMNS, SharedRow, checksum, shared_rows
from lut.shared_table import SharedTable
from lut.store import Store

READ: Format[SharedRow] = format_of(SharedRow, "a row of a shared latency table")
WRITTEN: Format[SharedRow] = Format(
    kind=SharedRow,
    what="a row of a shared latency table",
    error=StoreError,
    mend="nothing was exported; profile the device into another workspace",
)


def export_table(
    store: Store,
    device: str,
    path: Path | str,
    *,
    precision: str = FP32,
    series: Series | None = None,
    force: bool = False,
) -> int:
    """Write the measurements of one series of a device to a `.csv` or `.parquet` file; returns
    their number.

    Args:
        precision: Precision of the models.
        series: Series to write; by default the latest in `precision`.
        force: Replace a file that is there.

    Raises:
        StoreError: Another ending, nothing measured, a folder that is not there, or a file that is
            there already.
        FileError: The file cannot be written.
    """
    import pyarrow as pa

    path = suffixed(path)
    check_free(path, force)
    chosen = series or store.latest(device, precision)
    frame = store.measurements(device, series=chosen)
    frame["runtime"], frame["runtime_hash"] = chosen.runtime, chosen.runtime_hash
    frame["cores_asked"] = chosen.cores
    frame["samples_us"] = [store.samples_us(i).tolist() for i in frame["id"]]
    table = frame[list(COLUMNS)]
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    rows = shared_rows(records(arrow), f"measurements of {device!r} in {store.path}", WRITTEN)
    seeds = store.noted(device, "split_seed")
    seed = seeds[0] if seeds else None
    graphs = graphs_of(store, device, chosen.precision) or UNMARKED
    of_searches = split_of(store, device, chosen.precision).fitted
    fitted = sorted(key for key in set(table["key"]) if canonical(key) in of_searches)
    header: dict[Hashable | None, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "device": device,
        "rows": len(rows),
        "split_seed": seed,
        "precision": chosen.precision,
        "source": chosen.source,
        "runtime": chosen.runtime,
        "threads": chosen.threads,
        "cores": chosen.cores,
        "graphs": graphs,
        "fitted": fitted,
        "sha256": checksum(device, seed, rows, chosen.precision, graphs, fitted),
        "info": (store.noted(device, "info") or [None])[-1],
    }
    if path.suffix == ".parquet":
        table.attrs = header
        write_atomic(path, table.to_parquet(None))
    else:
        table["samples_us"] = [" ".join(map(repr, s)) for s in table["samples_us"]]
        write_atomic(path, f"# {json.dumps(header)}\n{table.to_csv(index=False)}")
    return len(rows)


def check_free(path: Path, force: bool) -> None:
    """Refuse to write a table over another file, or into a folder that is not there.

    Args:
        force: Replace a file that is there.

    Raises:
        StoreError: The file is there and may not be replaced, or its folder is not there.
    """
    with writing(path):
        no_folder, is_folder, is_there = not path.parent.is_dir(), path.is_dir(), path.exists()
    if no_folder:
        raise StoreError(
            f"table {path} cannot be written: there is no folder {path.parent}; make it first"
        )
    if is_folder or (is_there and not force):
        raise StoreError(
            f"{path} is there already, and the export would replace it; choose another name"
            + ("" if is_folder else ", or force the export"),
            settings=() if is_folder else ("force",),
        )


def read_table(path: Path | str) -> SharedTable:
    """Read a table that `export_table` wrote.

    Raises:
        StoreError: Unreadable, half-written, changed, another format or schema, or a value that
            breaks the rule of its column; with file, row, column, value and rule.
    """
    path = suffixed(path)
    header, plain = read_file(path)
    rows = shared_rows(plain, f"table {path}", READ)
    if header.sha256 is not None and header.sha256 != checksum(
        *(header.device, header.split_seed, rows),
        *(header.precision, header.graphs, header.fitted),
    ):
        raise FILE.failure(
            f"table {path} was changed or damaged after its export: the sha256 of its header does "
            "not match its rows, device, split_seed, precision, graphs and fitted"
        )
    name, keys = printable_name(path), {row.key for row in rows}
    return SharedTable(
        header.device,
        header.split_seed,
        tuple((row.measurement(name, header.precision), row.cores_asked) for row in rows),
        header.precision,
        header.graphs,
        tuple(key for key in header.fitted if key in keys),
    )
