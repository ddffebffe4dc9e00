"""Rows of the table of measurements: checked, written, and brought to the present form of keys."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import msgspec
import numpy as np

from devices.protocol import Measurement
from elasticvit.errors import ArchError, StoreError
from elasticvit.kernels import Layout
from elasticvit.precisions import PRECISIONS
from elasticvit.reading import Format, shown
from lut.checked_rows import SLOWEST_US, row_failure
from lut.estimate import round_ms
from lut.keys import SUBNET, check_key, kind_of, layout_hash, modernised
from lut.row_types import COLUMNS, MeasurementRow, calibration_of

MADE = Format(
    kind=MeasurementRow,
    what="a measurement",
    error=StoreError,
    mend="nothing of it was stored; check the device that made it",
)


def check_measurement(m: Measurement) -> None:
    """Refuse a measurement that cannot be true.

    Raises:
        StoreError: A latency that is not a positive finite number of at most 100 s, no samples, an
            negative count, an unknown precision, or a key that is neither of a kernel nor of a
            subnet.
    """
    for what, values in {m.key: m.samples_us, **m.calibration_us}.items():
        bad = next((us for us in values if not 0 < us <= SLOWEST_US), None)
        if bad is not None:
            raise StoreError(
                f"{shown(what)} was timed at {bad} us; a latency is a positive finite number of at "
                f"most {SLOWEST_US:g} us; nothing of it was stored; check the device that timed it"
            )
    if (
        not (m.samples_us and m.key and all(m.calibration_us.values()))
        or min(m.round, m.threads) < 0
    ):
        raise StoreError(
            f"measurement of {shown(m.key)}: {len(m.samples_us)} samples, round {m.round}, "
            f"{m.threads} threads; it needs a key, at least one sample of it and of each "
            "calibration model, and counts from 0; nothing of it was stored"
        )
    if m.precision not in PRECISIONS:
        raise StoreError(
            f"measurement of {shown(m.key)} is in precision {shown(m.precision)}; it is one of "
            f"{', '.join(PRECISIONS)}; nothing of it was stored"
        )
    try:
        check_key(m.key)
    except ArchError as error:
        raise StoreError(f"{error}; nothing of it was stored") from error


def insert_measurement(db: sqlite3.Connection, device: str, m: Measurement, cores: str) -> None:
    """Append a measurement to its series, which is made if missing.

    Args:
        cores: Cores as requested; see `lut.series.Series`.

    Raises:
        StoreError: A value that a row of the table must not have.
    """
    samples = np.asarray(m.samples_us, dtype="<f8")
    low, median, high = (float(us) for us in np.quantile(samples, [0.25, 0.5, 0.75]))
    calibration = {key: [round(us, 3) for us in runs] for key, runs in m.calibration_us.items()}
    row = {
        "id": 1,  # SQLite gives the number
        "key": m.key,
        "kind": kind_of(m.key),
        "round": m.round,
        "time_s": m.time_s,
        "cores": m.cores,
        "runs": m.run_count,
        "interrupted_runs": m.interrupted_runs,
        "round_ms": round_ms(samples),
        "median_ms": median / 1e3,
        "spread": (high - low) / median,
        "temperature_before_c": m.before.temperature_c,
        "temperature_after_c": m.after.temperature_c,
        "frequency_before_mhz": m.before.frequency_mhz,
        "frequency_after_mhz": m.after.frequency_mhz,
        "peak_bytes": m.peak_bytes,
        "calibration_us": json.dumps(calibration) if calibration else None,
    }
    checked = MADE.parse(row, f"measurement of {shown(m.key)}")
    values = (_series_id(db, device, m, cores), *msgspec.structs.astuple(checked)[1:])
    names = ("series", *COLUMNS[1:], "samples_us")
    db.execute(
        f"INSERT INTO measurements ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        (*values, samples.tobytes()),
    )


def _series_id(db: sqlite3.Connection, device: str, m: Measurement, cores: str) -> int:
    row = (device, m.source, m.runtime, m.runtime_hash, m.threads, cores, m.precision)
    names = "device, source, runtime, runtime_hash, threads, cores, precision"
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT OR IGNORE INTO series ({names}) VALUES ({marks})", row)
    found = db.execute(f"SELECT id FROM series WHERE ({names}) = ({marks})", row)
    return int(found.fetchone()[0])


def modernise_keys(db: sqlite3.Connection, layout: Layout, where: str) -> None:
    """Rewrite the keys of one layout's subnets that have comma-separated genes, everywhere: those
    of measurements, of rejected models, and of the calibration models of measurements.

    Args:
        where: What a message calls the table.

    Raises:
        StoreError: A key or the calibration runs of a measurement are damaged.
    """
    layouts = [layout]
    old = f"{SUBNET} {layout.classes} {layout_hash(layout)} [0-9]*"
    for table in ("measurements", "rejected"):
        query = f"SELECT id, key FROM {table} WHERE key GLOB ?"
        new = [
            (_present(key, layouts, table, number, where), number)
            for number, key in db.execute(query, (old,)).fetchall()
        ]
        db.executemany(f"UPDATE {table} SET key = ? WHERE id = ?", new)
    query = "SELECT id, calibration_us FROM measurements WHERE calibration_us GLOB ?"
    for number, text in db.execute(query, (f'*"{old}',)).fetchall():
        runs = {
            _present(key, layouts, "measurements", number, where): us
            for key, us in calibration_of(text, number, where).items()
        }
        db.execute(
            "UPDATE measurements SET calibration_us = ? WHERE id = ?", (json.dumps(runs), number)
        )


def _present(key: str, layouts: Sequence[Layout], table: str, number: int, where: str) -> str:
    try:
        return modernised(key, layouts)
    except ArchError as error:
        raise row_failure(where, table, number, f"key: {error}") from error
