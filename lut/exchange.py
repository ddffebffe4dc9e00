"""Tables as files that people share: CSV or parquet, with a schema in the header.

One row a measurement, with its raw samples and all conditions. A CSV file's first line is `# `
and the header as JSON; a parquet file carries the header among its metadata. What was imported
keeps its first source behind `import:FILE of`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from devices.protocol import Conditions, Measurement
from elasticvit.errors import ArchError, StoreError
from elasticvit.files import write_atomic
from elasticvit.kernels import KINDS, Kernel
from lut.keys import SUBNET, SubnetKey, kind_of
from lut.series import IMPORTED
from lut.shared_table import SharedTable
from lut.store import Store

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "elasticvit latency table"
SCHEMA = 3
OLDEST = 1  # knew no calibration models
OLD_CALIBRATION = "gauges"  # name of their column in schema 2
SUFFIXES = (".csv", ".parquet")
COLUMNS = (
    *("key", "round", "time_s", "source", "runtime", "runtime_hash", "threads", "cores_asked"),
    *("cores", "interrupted_runs", "temperature_before_c", "temperature_after_c"),
    *("frequency_before_mhz", "frequency_after_mhz", "peak_bytes", "calibration_us"),
    "samples_us",
)
FASTEST_US, SLOWEST_US = 0.01, 1e8  # outside of this the unit must be wrong
NO_LATENCIES = ("fake", "emulated")  # in the first part of a source; imports must not hide it


def export_table(store: Store, device: str, path: Path | str) -> int:
    """Write every measurement of a device to a `.csv` or `.parquet` file; returns their number.

    Raises:
        StoreError: Another ending, nothing measured, or a file that cannot be written.
    """
    import pandas as pd

    path = _suffixed(path)
    store.latest(device)
    frames = []
    for series in reversed(store.series(device)):
        frame = store.measurements(device, series=series)
        frame["runtime"], frame["runtime_hash"] = series.runtime, series.runtime_hash
        frame["cores_asked"] = series.cores
        frame["samples_us"] = [store.samples_us(i).tolist() for i in frame["id"]]
        frames.append(frame[list(COLUMNS)])
    table = pd.concat(frames, ignore_index=True)
    seeds = store.noted(device, "split_seed")
    header: dict[Hashable | None, Any] = {
        "format": FORMAT,
        "schema": SCHEMA,
        "device": device,
        "rows": len(table),
        "split_seed": seeds[0] if seeds else None,
        "info": (store.noted(device, "info") or [None])[-1],
    }
    try:
        if path.suffix == ".parquet":
            table.attrs = header
            path.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(path)
        else:
            table["samples_us"] = [" ".join(map(repr, s)) for s in table["samples_us"]]
            write_atomic(path, f"# {json.dumps(header)}\n{table.to_csv(index=False)}")
    except OSError as error:
        raise StoreError(f"table {path} cannot be written: {error.strerror}") from error
    return len(table)


def read_table(path: Path | str) -> SharedTable:
    """Read a table that `export_table` wrote.

    Raises:
        StoreError: Unreadable, half-written, another format or schema, a key that is none, or a
            latency that is no positive finite number of microseconds. The row is named.
    """
    path = _suffixed(path)
    try:
        header, frame = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except OSError as error:
        raise StoreError(f"table {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # pandas', pyarrow's and json's errors are of this family
        raise StoreError(
            f"table {path} is damaged or no table: {error}; export it again"
        ) from error
    if header.get("format") != FORMAT:
        raise StoreError(f"table {path} has no header of an {FORMAT}; export it anew")
    if header.get("schema") not in range(OLDEST, SCHEMA + 1):
        raise StoreError(
            f"table {path} has schema {header.get('schema')!r}, this version reads {SCHEMA}; "
            "update elasticvit or export the table again"
        )
    if header["schema"] == OLDEST:
        frame["calibration_us"] = None
    frame = frame.rename(columns={OLD_CALIBRATION: "calibration_us"})
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise StoreError(f"table {path} lacks the columns {', '.join(missing)}; export it again")
    if header.get("rows") != len(frame):
        raise StoreError(
            f"table {path} has {len(frame)} of {header.get('rows')} rows: it is half-written; get "
            "it again"
        )
    rows = []
    for number, row in enumerate(frame[list(COLUMNS)].itertuples(index=False), 1):
        try:
            rows.append(_measurement(row, path.name))
        except (ArchError, StoreError, ValueError, TypeError) as error:
            raise StoreError(f"table {path}, row {number}: {error}; nothing was imported") from None
    seed = header.get("split_seed")
    return SharedTable(str(header.get("device")), None if seed is None else int(seed), tuple(rows))


def _suffixed(path: Path | str) -> Path:
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise StoreError(f"table {path} ends in {path.suffix!r}; use {' or '.join(SUFFIXES)}")
    return path


def _read_csv(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    import pandas as pd

    with path.open() as file:
        first = file.readline()
        if not first.startswith("# "):
            return {}, pd.DataFrame()
        header = json.loads(first[2:])
        text = file.read()
        if not text.endswith("\n"):
            raise ValueError("its last row is cut off")
        frame = pd.read_csv(
            io.StringIO(text), dtype={"cores": str, "cores_asked": str, "runtime_hash": str}
        )
    return header, frame


def _read_parquet(path: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    import pandas as pd

    frame = pd.read_parquet(path)
    return {str(k): v for k, v in frame.attrs.items()}, frame


def _measurement(row: Any, name: str) -> tuple[Measurement, str]:
    kind = kind_of(row.key)
    if kind == SUBNET:
        SubnetKey.parse(row.key)
    elif kind not in KINDS or Kernel.from_key(row.key).key != row.key:
        raise StoreError(f"{row.key!r} is no key of a kernel")
    raw = row.samples_us
    samples = tuple(float(s) for s in (raw.split() if isinstance(raw, str) else raw))
    bad = next((s for s in samples if not FASTEST_US <= s <= SLOWEST_US), None)  # NaN as well
    if bad is not None or not samples:
        raise StoreError(
            f"{row.key!r} has a latency of {bad} us; latencies are positive microseconds"
        )
    first = row.source.partition(":")[0]
    kept = row.source.startswith(IMPORTED) or any(word in first for word in NO_LATENCIES)
    measurement = Measurement(
        key=row.key,
        samples_us=samples,
        round=int(row.round),
        threads=int(row.threads),
        cores=_text(row.cores),
        source=row.source if kept else f"{IMPORTED}{name} of {row.source}",
        runtime=row.runtime,
        runtime_hash=_text(row.runtime_hash),
        before=Conditions(
            temperature_c=_number(row.temperature_before_c),
            frequency_mhz=_number(row.frequency_before_mhz),
        ),
        after=Conditions(
            temperature_c=_number(row.temperature_after_c),
            frequency_mhz=_number(row.frequency_after_mhz),
        ),
        time_s=float(row.time_s),
        peak_bytes=_whole(row.peak_bytes),
        interrupted_runs=_whole(row.interrupted_runs),
        calibration_us=_calibration_us(row.calibration_us),
    )
    return measurement, _text(row.cores_asked)


def _calibration_us(value: Any) -> dict[str, tuple[float, ...]]:
    runs = json.loads(value) if isinstance(value, str) else {}
    if not all(FASTEST_US <= us <= SLOWEST_US for each in runs.values() for us in each):
        raise StoreError(
            f"calibration models timed at {value}; latencies are positive microseconds"
        )
    return {str(key): tuple(map(float, each)) for key, each in runs.items()}


def _number(value: Any) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
