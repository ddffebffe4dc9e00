"""One latency from several rounds: the same rule for kernels, whole subnets and gauges.

On a shared machine other programs add time to some runs of a round, in bursts: the slowest
quarter of the runs does not count. What is left is averaged, not thinned to the fastest, since
fast and slow moments of the machine take turns within a round, and the gauges that are to tell
them (`lut.steady`) see the same mixture. On a busy two-core machine the rounds of eight models,
corrected by their gauges, scattered by 3.2 % by this rule, by 3.8 % by the 5th percentile of the
runs, by 3.9 % by their median and by 4.5 % by the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

OF_RUNS = 0.75
OF_ROUNDS = 0.5
ESTIMATOR = "median over the rounds of each round's mean of the fastest three quarters of its runs"


def round_ms(samples_us: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """What one round says, in milliseconds, from its runs in microseconds: the geometric mean
    of the fastest three quarters, at least of one."""
    logs = np.sort(np.log(np.asarray(samples_us, dtype=np.float64)))
    return float(np.exp(logs[: max(1, int(OF_RUNS * len(logs)))].mean())) / 1e3


def latency_ms(rounds_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Latency of a model in milliseconds from what its rounds say."""
    return float(np.quantile(np.asarray(rounds_ms, dtype=np.float64), OF_ROUNDS))
