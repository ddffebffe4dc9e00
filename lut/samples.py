"""The raw runs of measurements as a table holds them: little-endian doubles, in microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elasticvit.arrays import FloatArray
from elasticvit.reading import shown
from lut.checked_rows import SLOWEST_US, row_failure
from lut.estimate import rounds_ms
from lut.row_types import MeasurementRow

TOLERANCE = 1e-6  # relative, between a figure of a row and that of its runs
RULE = (
    "it must be a whole number of 8-byte floating-point numbers, at least one, each above 0 and at "
    f"most {SLOWEST_US:g} us"
)


def decoded_us(blob: Any, number: int, where: str) -> FloatArray:
    """The runs of one measurement in microseconds, in order, shape (runs,).

    Args:
        blob: Value of the column `samples_us`.
        number: The measurement's `id`.
        where: What a message calls the table.

    Raises:
        StoreError: They are damaged.
    """
    if not isinstance(blob, bytes) or not blob or len(blob) % 8:
        what = f"{len(blob)} bytes" if isinstance(blob, bytes) else shown(blob)
        raise row_failure(where, "measurements", number, f"samples_us is {what}; {RULE}")
    values: FloatArray = np.frombuffer(blob, dtype="<f8")
    bad = values[~((values > 0) & (values <= SLOWEST_US))]  # NaN as well
    if bad.size:
        raise row_failure(where, "measurements", number, f"samples_us has {bad[0]:g}; {RULE}")
    return values


def check_samples(blobs: Sequence[Any], rows: Sequence[MeasurementRow], where: str) -> None:
    """Refuse measurements whose runs are damaged, or whose figures are not those of their runs.

    Args:
        blobs: Values of the column `samples_us`, length n.
        rows: The measurements, length n.
        where: What a message calls the table.

    Raises:
        StoreError: One is; with its row, column, value and rule.
    """
    runs = [decoded_us(blob, row.id, where) for blob, row in zip(blobs, rows, strict=True)]
    by_length: dict[int, list[int]] = {}
    for i, values in enumerate(runs):
        by_length.setdefault(len(values), []).append(i)
    for places in by_length.values():
        together = np.stack([runs[i] for i in places])
        figures = {"round_ms": rounds_ms(together), "median_ms": np.median(together, axis=1) / 1e3}
        for column, expected in figures.items():
            found = np.array([getattr(rows[i], column) for i in places])
            wrong = np.flatnonzero(np.abs(found / expected - 1) > TOLERANCE)
            if wrong.size:
                row, value = rows[places[wrong[0]]], found[wrong[0]]
                problem = (
                    f"{column} is {value:.9g}, but the runs in samples_us make it "
                    f"{expected[wrong[0]]:.9g}"
                )
                raise row_failure(where, "measurements", row.id, problem)
