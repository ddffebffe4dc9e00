"""How far a table can be trusted: its noise floor and its drift."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lut.estimate import latency_ms

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How well one set of latencies agrees with another, in percent of the other.

    Attributes:
        count: models compared.
        within_5, within_10: share of them that differ by at most 5 % and 10 %.
        rmspe: root of the mean squared relative difference.
        bias: mean relative difference.
    """

    count: int
    within_5: float
    within_10: float
    rmspe: float
    bias: float


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the reference model's latency moved over a profile.

    Attributes:
        count: how often it was timed.
        median_ms: its median latency.
        spread: distance of the 10th from the 90th percentile, in percent of the median.
    """

    count: int
    median_ms: float
    spread: float


def noise_floor(measurements: pd.DataFrame, keys: Collection[str]) -> Agreement | None:
    """Two independent estimates of the same models, from their even and from their odd rounds.

    No predictor can be seen to do better than this. The rounds of a group lie between those of
    the other, so slow drift of the machine is not in it.

    Returns:
        None when no key has at least two rounds.
    """
    chosen = measurements[measurements["key"].isin(list(keys))]
    differences = []
    for _, group in chosen.groupby("key"):
        rounds = group.sort_values("round")["round_ms"].to_numpy()
        if len(rounds) > 1:
            rounds = rounds[: len(rounds) // 2 * 2]  # as many in both
            differences.append(latency_ms(rounds[::2]) / latency_ms(rounds[1::2]) - 1)
    if not differences:
        return None
    error = 100 * np.array(differences)
    return Agreement(
        count=len(error),
        within_5=float(100 * np.mean(np.abs(error) <= 5)),
        within_10=float(100 * np.mean(np.abs(error) <= 10)),
        rmspe=float(np.sqrt(np.mean(error**2))),
        bias=float(np.mean(error)),
    )


def drift(measurements: pd.DataFrame, key: str) -> Drift | None:
    """Drift of the reference model `key`; None when it was never timed."""
    medians = measurements.loc[measurements["key"] == key, "median_ms"].to_numpy()
    if not len(medians):
        return None
    low, median, high = np.quantile(medians, [0.1, 0.5, 0.9])
    return Drift(
        count=len(medians), median_ms=float(median), spread=float(100 * (high - low) / median)
    )
