"""Few-shot transfer: a new device from source devices and a few chosen measurements.

The new device's log latencies are a Gaussian process around what its source devices agree on. The
kernels to measure are chosen before anything is measured, each the one that leaves the least
uncertainty about all the others; the process is then conditioned on their latencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.likelihood import most_probable_parts
from elasticvit.linear_algebra import one_blas_thread
from elasticvit.precisions import FP32
from elasticvit.space import SearchSpace
from predictors.deviation_features import SCALES
from predictors.fit import refuse_emulated
from predictors.fit_report import FitReport
from predictors.gp import PASSES, noise_factors
from predictors.interval import Interval
from predictors.kernel_table import KernelTable
from predictors.predictor import Predictor
from predictors.source_devices import SourceDevices
from predictors.transferred import TransferredKernels

NOISE = 0.012  # prior standard deviation of a measurement's log
KNOWN = 0.012  # a kernel whose log is known this well gains little from being known better
SPREAD = 0.3  # of the logarithms of the scales, when they are fitted
MIN_MEASURED = 3
SCALES_FROM = 300  # measurements that the scales are fitted to
CANDIDATES, TARGETS = 1000, 600  # kernels that are compared when choosing
SUBNETS = 200  # random architectures that the interval is taken over


@dataclass(frozen=True)
class Transfer:
    """Few-shot transfer to a new device.

    Attributes:
        sources: The source devices.
    """

    sources: SourceDevices

    def choose(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        candidates: Sequence[Kernel] | None = None,
    ) -> list[Kernel]:
        """The most informative kernels, in the order to measure them.

        Args:
            count: Number of kernels to choose.
            rng: Random generator of which kernels are compared if there are many.
            candidates: Kernels that may be chosen; by default any that the space can contain.
        """
        kernels = self.sources.kernels
        index = {k: i for i, k in enumerate(kernels)}
        pool: IndexArray = np.arange(self.sources.reachable)
        if candidates is not None:
            pool = np.array([index[k] for k in candidates], dtype=np.int64)
        pool = rng.permutation(pool)[:CANDIDATES]
        targets = rng.permutation(self.sources.reachable)[:TARGETS]
        scales = np.array(list(SCALES.values()))
        rows = np.concatenate([pool, targets])
        covariance = self.sources.covariance(scales, rows, rows)
        n = len(pool)
        free = np.ones(n, dtype=bool)
        chosen = []
        for _ in range(min(count, n)):
            diagonal = np.diag(covariance)
            variance = diagonal[:n] + NOISE**2
            left = diagonal[n:] - covariance[:n, n:] ** 2 / variance[:, None]
            # deviations, not variances: else a few hopeless kernels draw all measurements
            cost = np.sqrt(np.maximum(left, 0.0) + KNOWN**2).sum(axis=1)
            best = int(np.argmin(np.where(free, cost, np.inf)))
            free[best] = False
            chosen.append(kernels[pool[best]])
            column = covariance[:, best].copy()
            covariance -= np.outer(column, column) / variance[best]
        return chosen

    @one_blas_thread()
    def fit(self, measured_ms: Mapping[Kernel, float]) -> TransferredKernels:
        """Latency of every kernel of the space, from those that were measured.

        Raises:
            PredictorError: Too few, a kernel outside the space, or no positive latency.
        """
        kernels = self.sources.kernels
        index = {k: i for i, k in enumerate(kernels)}
        strange = [k for k in measured_ms if k not in index]
        if strange:
            raise PredictorError(f"{strange[0].key} is no kernel of the space that is transferred")
        bad = [k for k, v in measured_ms.items() if not (np.isfinite(v) and v > 0)]
        if bad:
            raise PredictorError(
                f"latency of {bad[0].key} is {measured_ms[bad[0]]} ms; it must be positive"
            )
        if len(measured_ms) < MIN_MEASURED:
            raise PredictorError(
                f"{len(measured_ms)} kernels were measured; transfer needs at least {MIN_MEASURED}",
                settings=("budget_kernels",),
            )
        rows = np.array([index[k] for k in measured_ms], dtype=np.int64)
        values = np.log(np.array(list(measured_ms.values()))) - self.sources.base[rows]
        scales, inverse = self._fit_scales(rows, values)
        every = np.arange(len(kernels))
        cross = self.sources.covariance(scales, every, rows)
        mean = self.sources.base + cross @ (inverse @ values)
        return TransferredKernels(
            kernels=kernels,
            log_ms=mean,
            rows=rows,
            scales=scales,
            inverse=inverse,
            sources=self.sources,
        )

    def _fit_scales(self, rows: IndexArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scales of the parts by maximum a posteriori, and the inverse covariance of the
        measured kernels; measurements that seem disturbed count less."""
        some = np.random.default_rng(0).permutation(len(values))[:SCALES_FROM]
        linear, part_of = self.sources.linear[rows[some]], self.sources.part_of
        grams = [
            linear[:, part_of == part] @ linear[:, part_of == part].T for part in range(len(SCALES))
        ]
        start = np.log([*SCALES.values(), NOISE])
        theta = start
        factors: FloatArray = np.ones(len(values))
        for remaining in reversed(range(PASSES + 1)):
            matrices = np.stack([*grams, np.diag(factors[some])])
            theta = most_probable_parts(
                matrices, values[some], start, SPREAD, within=(3.0, 3.0), begin=theta
            )
            scales, noise_variance = np.exp(theta[:-1]), np.exp(2 * theta[-1]) * factors
            covariance = self.sources.covariance(scales, rows, rows) + np.diag(noise_variance)
            inverse = np.asarray(np.linalg.inv(covariance))
            if remaining:
                factors = noise_factors(inverse, inverse @ values, noise_variance)
        return scales, inverse


def transfer_predictor(
    measured_ms: Mapping[Kernel, float],
    sources: SourceDevices,
    space: SearchSpace,
    *,
    device: str,
    source: str,
    rng: np.random.Generator,
    precision: str = FP32,
    cpu: CpuSetting | None = None,
) -> Predictor:
    """Predictor of a new device from source devices and a few measured kernels.

    Its interval is the process's own, over random architectures: no whole subnet of the new
    device was measured that could say more.

    Args:
        measured_ms: Milliseconds of the measured kernels.
        sources: The source devices.
        space: Space that the source devices were read for.
        device, source, precision, cpu: As in `Predictor`; the source devices are of the same
            precision.
        rng: Random generator of those architectures.

    Raises:
        PredictorError: As `Transfer.fit`, or measurements of an emulated device.
    """
    refuse_emulated(source)
    fitted = Transfer(sources).fit(measured_ms)
    index = {k: i for i, k in enumerate(sources.kernels)}
    counts = np.zeros((SUBNETS, len(index)))
    for row, arch in enumerate(space.sample(SUBNETS, rng)):
        for kernel in lower(arch, space.layout):
            counts[row, index[kernel]] += 1
    deviation = fitted.typical_deviation(counts)
    return Predictor(
        device=device,
        source=source,
        precision=precision,
        cpu=cpu,
        kernels=KernelTable(fitted.table_ms | dict(measured_ms)),
        interval=Interval.normal(deviation),
        report=FitReport(
            kernels=len(measured_ms),
            like=tuple(sources.names),
            subnet_deviation_pct=100 * deviation,
        ),
    )
