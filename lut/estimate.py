"""One latency from several rounds: the same rule for kernels and for whole subnets.

Interference on a shared machine only ever adds time, in bursts that are longer than a run and
shorter than a profile. A round's median answers for the runs within a burst; over the rounds,
which lie minutes apart, a low quantile answers for the bursts themselves. The minimum would
be as robust but sinks with every further round, so that models timed more often would look
faster; the lower quartile does so far less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

QUANTILE = 0.25
ESTIMATOR = "lower quartile over the rounds of each round's median"


def latency_ms(round_medians_ms: Sequence[float] | npt.NDArray[np.float64]) -> float:
    """Latency of a model in milliseconds from the medians of its rounds."""
    return float(np.quantile(np.asarray(round_medians_ms, dtype=np.float64), QUANTILE))


def latencies_ms(round_medians_ms: Any) -> pd.Series[float]:
    """The same for a grouped column of a frame at once: one value a group."""
    values: pd.Series[float] = round_medians_ms.quantile(QUANTILE)
    return values
