"""Rows of the table of measurements: checked, written, and brought to the present form of keys."""

from __future__ import annotations

import json
import math
import sqlite3

import numpy as np

from devices.protocol import Measurement
from elasticvit.errors import StoreError
from elasticvit.kernels import Layout
from lut.estimate import round_ms
from lut.keys import SUBNET, kind_of, layout_hash, modernised

COLUMNS = (
    *("id", "key", "kind", "round", "time_s", "cores", "runs", "interrupted_runs"),
    *("round_ms", "median_ms", "spread", "temperature_before_c", "temperature_after_c"),
    *("frequency_before_mhz", "frequency_after_mhz", "peak_bytes", "calibration_us"),
)


def check_measurement(m: Measurement) -> None:
    """Refuse a measurement that cannot be true.

    Raises:
        StoreError: A latency that is not a positive finite number, no samples, an empty key or a
            negative count.
    """
    bad = next((s for s in m.samples_us if not math.isfinite(s) or s <= 0), None)
    if bad is not None:
        raise StoreError(
            f"{m.key!r} was timed at {bad} us; a latency is a positive finite number, so nothing "
            "of it was stored"
        )
    if not m.samples_us or not m.key or m.round < 0 or m.threads < 0:
        raise StoreError(
            f"measurement of {m.key!r}: {len(m.samples_us)} samples, round {m.round}, {m.threads} "
            "threads; it needs a key, at least one sample and counts from 0"
        )


def insert_measurement(db: sqlite3.Connection, device: str, m: Measurement, cores: str) -> None:
    """Append a measurement to its series, which is made if missing.

    Args:
        cores: Cores as requested; see `lut.series.Series`.
    """
    samples = np.asarray(m.samples_us, dtype="<f8")
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75])
    calibration = {key: [round(us, 3) for us in runs] for key, runs in m.calibration_us.items()}
    values = (
        *(_series_id(db, device, m, cores), m.key, kind_of(m.key), m.round, m.time_s),
        *(m.cores, m.run_count, m.interrupted_runs),
        *(round_ms(samples), median / 1e3, (high - low) / median),
        *(m.before.temperature_c, m.after.temperature_c),
        *(m.before.frequency_mhz, m.after.frequency_mhz),
        *(m.peak_bytes, json.dumps(calibration) if calibration else None),
        samples.tobytes(),
    )
    names = f"series, {', '.join(COLUMNS[1:])}, samples_us"
    db.execute(
        f"INSERT INTO measurements ({names}) VALUES ({', '.join('?' * len(values))})", values
    )


def _series_id(db: sqlite3.Connection, device: str, m: Measurement, cores: str) -> int:
    row = (device, m.source, m.runtime, m.runtime_hash, m.threads, cores)
    db.execute(
        "INSERT OR IGNORE INTO series (device, source, runtime, runtime_hash, threads, cores) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )
    found = db.execute(
        "SELECT id FROM series WHERE (device, source, runtime, runtime_hash, threads, cores) "
        "= (?, ?, ?, ?, ?, ?)",
        row,
    )
    return int(found.fetchone()[0])


def modernise_keys(db: sqlite3.Connection, layout: Layout) -> None:
    """Rewrite the keys of one layout's subnets that have comma-separated genes, everywhere: those
    of measurements, of rejected models, and of the calibration models of measurements."""

    def present_key(key: str) -> str:
        return modernised(key, [layout])

    def present_calibration(text: str) -> str:
        return json.dumps({present_key(key): runs for key, runs in json.loads(text).items()})

    db.create_function("present_key", 1, present_key, deterministic=True)
    db.create_function("present_calibration", 1, present_calibration, deterministic=True)
    old = f"{SUBNET} {layout.classes} {layout_hash(layout)} [0-9]*"
    db.execute(
        "UPDATE measurements SET key = present_key(key) WHERE kind = ? AND key GLOB ?",
        (SUBNET, old),
    )
    db.execute("UPDATE rejected SET key = present_key(key) WHERE key GLOB ?", (old,))
    db.execute(
        "UPDATE measurements SET calibration_us = present_calibration(calibration_us) "
        "WHERE calibration_us GLOB ?",
        (f'*"{old}',),
    )
