"""Standard error of a share, such as an accuracy."""

from __future__ import annotations

from typing import TypeVar

from elasticvit.arrays import FloatArray

Percent = TypeVar("Percent", float, FloatArray)


def share_error(percent: Percent, count: int) -> Percent:
    """Binomial standard error of a share of `count` trials, such as images, in percentage points;
    of several shares, shape (n,), one for each.

    Args:
        percent: The share, from 0 to 100.
        count: Number of trials, at least 1.
    """
    share = percent / 100
    error: Percent = 100 * (share * (1 - share) / count) ** 0.5
    return error
