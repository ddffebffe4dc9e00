"""Confidence intervals of latencies, and of the ratio of two latencies, by their rounds."""

from __future__ import annotations

import math

import numpy as np

from elasticvit.arrays import FloatArray

COVERAGE = 0.95  # of the intervals
MEDIAN_LOSS = 1.2533  # standard error of a median over that of a mean, of normal data


def interval(rounds: FloatArray) -> tuple[float, float, float]:
    """Lower bound, median and upper bound of a latency, in its unit: the 95 % interval of the
    median, by Student's distribution.

    Args:
        rounds: Latency by each round, shape (n,).
    """
    middle, half = _middle_and_half(rounds)
    return max(middle - half, middle / 10), middle, middle + half


def ratio_interval(rounds: FloatArray, others: FloatArray) -> tuple[float, float, float]:
    """Lower bound, median and upper bound of the ratio of one latency to another, by pairs: the
    95 % interval of the median of the logarithms, by Student's distribution.

    Both models of a pair were timed in the same round, so that what slows a whole round down, such
    as heat, does not count.

    Args:
        rounds: Latency of the one by each round, shape (n,).
        others: Latency of the other by the same rounds, shape (n,).
    """
    middle, half = _middle_and_half(np.log(rounds) - np.log(others))
    return math.exp(middle - half), math.exp(middle), math.exp(middle + half)


def _middle_and_half(values: FloatArray) -> tuple[float, float]:
    """Median, and half the width of its interval; 0 of a single value."""
    from scipy.stats import t  # type: ignore[import-untyped]

    middle, count = float(np.median(values)), len(values)
    if count < 2:
        return middle, 0.0
    reach = float(t.ppf((1 + COVERAGE) / 2, count - 1)) * MEDIAN_LOSS
    return middle, reach * float(values.std(ddof=1)) / math.sqrt(count)
