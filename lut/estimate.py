"""One latency from several rounds: the same rule for kernels and for whole subnets.

On a shared machine other programs only ever add time, in bursts that hit some runs of a round
and some rounds of a model. So a round counts as its 5th percentile, and a model as its fastest
round. Measured on two busy cores (42 small subnets, even against odd rounds): the two estimates
differ by 2 % root mean square where medians of medians differ by 28 %. On a quiet device the
rule lies about half a percent under the median, for kernels and subnets alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

QUANTILE = 0.05
ESTIMATOR = "fastest round's 5th percentile of its runs"


def round_ms(samples_us: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """What one round says, in milliseconds, from its runs in microseconds."""
    return float(np.quantile(np.asarray(samples_us, dtype=np.float64), QUANTILE)) / 1e3


def latency_ms(rounds_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Latency of a model in milliseconds from what its rounds say."""
    return float(np.min(rounds_ms))
