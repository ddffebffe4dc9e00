"""One latency from several rounds: the same rule for kernels and for whole subnets.

On a shared machine other programs only ever add time, in bursts that hit some runs of a round:
a round counts as its 5th percentile. Between rounds, bursts again add time, while where the
runtime's memory happens to lie and what the caches hold move the figure both ways: a model
counts as the lower quartile of its rounds. The fastest round would be the luckiest one, and the
more rounds, the luckier: by it, a model timed three times reads 1.0 % slower than the same timed
five times. A predictor's root mean square error on held-out subnets of `mobile`, fitted and
judged by the fastest round, the median and the lower quartile, from three profiles of a busy
two-core machine: 3.2, 2.8 and 2.7 %; 2.6, 3.0 and 2.7 %; 5.3, 5.3 and 4.1 %.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

OF_RUNS = 0.05
OF_ROUNDS = 0.25
ESTIMATOR = "lower quartile over the rounds of each round's 5th percentile"


def round_ms(samples_us: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """What one round says, in milliseconds, from its runs in microseconds."""
    return float(np.quantile(np.asarray(samples_us, dtype=np.float64), OF_RUNS)) / 1e3


def latency_ms(rounds_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Latency of a model in milliseconds from what its rounds say."""
    return float(np.quantile(np.asarray(rounds_ms, dtype=np.float64), OF_ROUNDS))
