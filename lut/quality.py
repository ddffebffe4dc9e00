"""Quality of a latency table: agreement of models timed twice, and drift."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arrays import FloatArray
from lut.estimate import latency_ms
from lut.frames import DRIFT_ROUND

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the reference model's rounds moved over a profile.

    Attributes:
        count: Number of times that it was timed.
        median_ms: Median of its rounds' medians, in milliseconds.
        spread_pct: Distance of their 10th from their 90th percentile, in percent of the median.
        steady_pct: The same distance of its rounds when they are corrected for background load
            (`lut.steady`); None if no calibration models were timed.
    """

    count: int
    median_ms: float
    spread_pct: float
    steady_pct: float | None


def _spread_pct(values: FloatArray) -> float:
    low, median, high = np.quantile(values, [0.1, 0.5, 0.9])
    return float(100 * (high - low) / median)


def timed_twice(measurements: pd.DataFrame, keys: Collection[str]) -> tuple[FloatArray, FloatArray]:
    """Two independent estimates of the same models, from their even and from their odd rounds.

    Their difference is the noise floor of any predictor's error. Even and odd rounds alternate, so
    that slow drift of the machine is not part of it.

    Returns:
        Milliseconds, shape (n,) each; models timed in one round only are left out.
    """
    first, second = [], []
    counts = measurements["round"] < DRIFT_ROUND
    chosen = measurements[measurements["key"].isin(list(keys)) & counts]
    for _, group in chosen.sort_values("round").groupby("key"):
        rounds: FloatArray = group["steady_ms"].to_numpy()
        if len(rounds) > 1:
            rounds = rounds[: len(rounds) // 2 * 2]  # as many in both
            first.append(latency_ms(rounds[::2]))
            second.append(latency_ms(rounds[1::2]))
    return np.array(first), np.array(second)


def drift(measurements: pd.DataFrame, key: str) -> Drift | None:
    """Drift of the reference model `key`; None when it was never timed."""
    rows = measurements[measurements["key"] == key]
    if rows.empty:
        return None
    medians, calibrated = rows["median_ms"].to_numpy(), rows["calibration_us"].notna().any()
    return Drift(
        count=len(rows),
        median_ms=float(np.median(medians)),
        spread_pct=_spread_pct(medians),
        steady_pct=_spread_pct(rows["steady_ms"].to_numpy()) if calibrated else None,
    )
