"""Latency estimator over several rounds, the same for kernels, subnets and calibration models.

On a shared machine other programs add time to some runs of a round, in bursts: the slowest quarter
of the runs does not count. What is left is averaged, not thinned to the fastest, since the machine
alternates between fast and slow moments within a round, and the calibration models that correct for
them (`lut.steady`) are affected by the same mixture. On a busy two-core machine the rounds of eight
models, corrected by their calibration models, scattered by 3.2 % by this rule, by 3.8 % by the 5th
percentile of the runs, by 3.9 % by their median and by 4.5 % by the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arrays import FloatArray

OF_RUNS = 0.75
OF_ROUNDS = 0.5
ESTIMATOR = "median over the rounds of each round's mean of the fastest three quarters of its runs"


def round_ms(samples_us: Sequence[float] | FloatArray) -> float:
    """Latency by one round, in milliseconds: the geometric mean of the fastest three quarters of
    its runs, at least of one.

    Args:
        samples_us: Runs of the round in microseconds, shape (runs,).
    """
    return float(rounds_ms(np.asarray(samples_us, dtype=np.float64)[None])[0])


def rounds_ms(samples_us: FloatArray) -> FloatArray:
    """Latency by each of several rounds of as many runs, in milliseconds, shape (rounds,); see
    `round_ms`.

    Args:
        samples_us: Runs of each round in microseconds, shape (rounds, runs).
    """
    logs = np.sort(np.log(samples_us), axis=1)
    count = max(1, int(OF_RUNS * logs.shape[1]))
    value: FloatArray = np.exp(logs[:, :count].mean(axis=1)) / 1e3
    return value


def latency_ms(rounds_ms: Sequence[float] | FloatArray) -> float:
    """Latency of a model in milliseconds: the median over its rounds.

    Args:
        rounds_ms: Latency by each round in milliseconds (see `round_ms`), shape (rounds,).
    """
    return float(np.quantile(np.asarray(rounds_ms, dtype=np.float64), OF_ROUNDS))
