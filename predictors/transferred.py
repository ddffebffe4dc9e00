"""A new device's kernels, as predicted from source devices and a few measurements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.kernels import Kernel
from predictors.source_devices import SourceDevices

# standard deviation of a subnet's log that the process does not model, from three phones' tables
# (disturbed stretches, steps where a cache overflows); more measurements do not reduce it
MISSED = 0.008


@dataclass(frozen=True, kw_only=True)
class TransferredKernels:
    """A new device's kernels.

    Attributes:
        kernels: Every kernel of the space, and heads of other numbers of classes.
        log_ms: Their predicted log milliseconds, shape (n,).
        rows: Positions of the measured ones, shape (measured,).
        scales: Fitted standard deviations of the parts of the device's deviation, in the order of
            `deviation_features.SCALES`, shape (parts,).
        inverse: Inverse covariance of the measured kernels, shape (measured, measured).
        sources: The source devices.
    """

    kernels: tuple[Kernel, ...]
    log_ms: FloatArray
    rows: IndexArray
    scales: FloatArray
    inverse: FloatArray
    sources: SourceDevices

    @property
    def table_ms(self) -> dict[Kernel, float]:
        """Milliseconds of every kernel."""
        return {k: float(v) for k, v in zip(self.kernels, np.exp(self.log_ms), strict=True)}

    def typical_deviation(self, counts: FloatArray) -> float:
        """Standard deviation of the relative error of whole subnets: the process's own, the median
        over the given ones, and what it misses.

        Args:
            counts: Number of times that each subnet has each kernel, shape (subnets, kernels).
        """
        shares = counts * np.exp(self.log_ms)
        shares = shares / shares.sum(axis=1, keepdims=True)
        used = np.flatnonzero(shares.any(axis=0))
        shares = shares[:, used]
        sources, each = self.sources, self.scales[self.sources.part_of]
        subnets = shares @ (sources.linear[used] * each)
        cross = subnets @ (sources.linear[self.rows] * each).T
        known = ((cross @ self.inverse) * cross).sum(axis=1)
        variance = (subnets**2).sum(axis=1) - known
        return float(np.sqrt(np.median(np.maximum(variance, 0.0)) + MISSED**2))
