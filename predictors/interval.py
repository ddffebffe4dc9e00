"""Intervals around predictions, from the errors on subnets that a model was not fitted to.

Split conformal prediction on ratios: if new subnets err like the held-out ones, a bound at
the right order statistic of measured / predicted holds with the promised frequency, whatever
the distribution of the errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from elasticvit.reading import Count

MOST_FACTOR = 1e3  # nothing is known of an error beyond it
UPPER_COVERAGE = 0.95  # of the one-sided bound that hard caps use


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Bounds as factors of the prediction.

    Attributes:
        lower, upper: Factors; each is passed by a new subnet with chance 1 - `coverage`.
        coverage: Nominal one-sided coverage; None if nothing is known about the error (the
            bounds are then the prediction itself).
        count: Number of held-out ratios that they come from; 0 if they are a model's own.
    """

    lower: Annotated[float, Meta(gt=0, le=1)] = 1.0
    upper: Annotated[float, Meta(ge=1, le=MOST_FACTOR)] = 1.0
    coverage: Annotated[float, Meta(gt=0, lt=1)] | None = None
    count: Count = 0

    @classmethod
    def unknown(cls) -> Interval:
        """The prediction itself as both bounds, since no subnets were measured."""
        return cls()

    @classmethod
    def conformal(cls, ratios: npt.ArrayLike, coverage: float = UPPER_COVERAGE) -> Interval:
        """Bounds from held-out ratios measured / predicted.

        With fewer than `1 / (1 - coverage)` ratios the order statistic does not exist; then the
        furthest ratio, moved out by the spread of all, stands in for it.
        """
        logs = np.sort(np.log(np.asarray(ratios, dtype=np.float64)))
        n = len(logs)
        if n < 2:
            return cls.unknown()
        rank = math.ceil((n + 1) * coverage)
        if rank <= n:
            low, high = logs[n - rank], logs[rank - 1]
        else:
            spread = logs.std(ddof=1) * (rank - n)
            low, high = logs[0] - spread, logs[-1] + spread
        return cls(
            lower=float(np.clip(np.exp(low), 1 / MOST_FACTOR, 1.0)),
            upper=float(np.clip(np.exp(high), 1.0, MOST_FACTOR)),
            coverage=coverage,
            count=n,
        )

    @classmethod
    def normal(cls, deviation: float, coverage: float = UPPER_COVERAGE) -> Interval:
        """Bounds from a model's own standard deviation of the log of measured / predicted, where
        nothing was held out that could show it wrong."""
        reach = NormalDist().inv_cdf(coverage) * deviation
        reach = min(reach, math.log(MOST_FACTOR))
        return cls(lower=math.exp(-reach), upper=math.exp(reach), coverage=coverage)

    def covers(self, predicted: npt.ArrayLike, measured: npt.ArrayLike) -> dict[str, float | None]:
        """Share of measurements under the upper bound and inside both, in percent, beside the
        nominal shares."""
        ratio = np.asarray(measured, dtype=np.float64) / np.asarray(predicted, dtype=np.float64)
        nominal = None if self.coverage is None else 100 * self.coverage
        return {
            "upper_nominal_pct": nominal,
            "upper_pct": float(100 * (ratio <= self.upper).mean()),
            "both_nominal_pct": None if nominal is None else 2 * nominal - 100,
            "both_pct": float(100 * ((ratio >= self.lower) & (ratio <= self.upper)).mean()),
        }
