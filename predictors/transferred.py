"""A new device's kernels, as learnt from known devices and a few measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from elasticvit.kernels import Kernel
from predictors.relatives import Relatives

FloatArray = npt.NDArray[np.float64]
# of a subnet's log: what the process misses, as seen on three phones' tables (disturbed stretches,
# steps where a cache overflows) and does not shrink with more measurements
MISSED = 0.008


@dataclass(frozen=True, kw_only=True)
class TransferredKernels:
    """A new device's kernels.

    Attributes:
        kernels: every kernel of the space.
        log_ms: their predicted log milliseconds, shape (n,).
        rows: positions of the measured ones.
        scales: of the parts of the departure, fitted, in the order of `departures.SCALES`.
        inverse: covariance of the measured kernels, inverted.
        relatives: the known devices.
    """

    kernels: tuple[Kernel, ...]
    log_ms: FloatArray
    rows: npt.NDArray[np.int64]
    scales: FloatArray
    inverse: FloatArray
    relatives: Relatives

    @property
    def table_ms(self) -> dict[Kernel, float]:
        """Milliseconds of every kernel."""
        return {k: float(v) for k, v in zip(self.kernels, np.exp(self.log_ms), strict=True)}

    def typical_deviation(self, counts: FloatArray) -> float:
        """Standard deviation of the relative error of whole subnets: the process's own, the median
        over the given ones, and what it misses.

        Args:
            counts: how often each subnet has each kernel, shape (subnets, kernels).
        """
        shares = counts * np.exp(self.log_ms)
        shares = shares / shares.sum(axis=1, keepdims=True)
        used = np.flatnonzero(shares.any(axis=0))
        shares = shares[:, used]
        relatives, each = self.relatives, self.scales[self.relatives.part_of]
        subnets = shares @ (relatives.linear[used] * each)
        cross = subnets @ (relatives.linear[self.rows] * each).T
        known = ((cross @ self.inverse) * cross).sum(axis=1)
        variance = (subnets**2).sum(axis=1) - known
        return float(np.sqrt(np.median(np.maximum(variance, 0.0)) + MISSED**2))
