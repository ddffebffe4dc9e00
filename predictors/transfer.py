"""A new device from known ones and a few chosen measurements.

The new device's log latencies are a Gaussian process around what its relatives agree on. The
kernels to measure are chosen before anything is measured, each the one that leaves the least
uncertainty about all the others; the process is then conditioned on their latencies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve  # type: ignore[import-untyped]
from scipy.optimize import minimize  # type: ignore[import-untyped]

from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.space import SearchSpace
from predictors.fit import refuse_emulated
from predictors.gp import PASSES, noise_factors
from predictors.interval import Interval
from predictors.kernel_table import KernelTable
from predictors.predictor import Predictor
from predictors.relatives import PARTS, SCALES, Relatives

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
NOISE = 0.015  # standard deviation of a measurement's log, before any is seen
SPREAD = 0.3  # of the logarithms of the scales, when they are fitted
MIN_MEASURED = 3
CANDIDATES, TARGETS = 1000, 600  # kernels that are compared when choosing
SUBNETS = 200  # random architectures that the interval is taken over
CAUTION = 0.9
# of a subnet's log: what the process misses, as seen on three phones' tables (disturbed stretches,
# steps where a cache overflows) and does not shrink with more measurements
MISSED = 0.008


@dataclass(frozen=True)
class Transfer:
    """Few-shot learning of a device.

    Attributes:
        relatives: the known devices.
    """

    relatives: Relatives

    def choose(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        weights: Mapping[Kernel, float] | None = None,
        candidates: Sequence[Kernel] | None = None,
    ) -> list[Kernel]:
        """The most informative kernels, in the order to measure them.

        Args:
            count: how many.
            rng: of which kernels are compared, where there are many.
            weights: how much each kernel matters; by default all alike.
            candidates: kernels that may be chosen; by default any.
        """
        kernels = self.relatives.kernels
        index = {k: i for i, k in enumerate(kernels)}
        pool = np.arange(len(kernels))
        if candidates is not None:
            pool = np.array([index[k] for k in candidates], dtype=np.int64)
        pool = rng.permutation(pool)[:CANDIDATES]
        targets = rng.permutation(len(kernels))[:TARGETS]
        matters = np.array([1.0 if weights is None else weights[kernels[i]] for i in targets])
        scales = np.array(SCALES)
        rows = np.concatenate([pool, targets])
        covariance = self.covariance(scales, rows, rows)
        n = len(pool)
        free = np.ones(n, dtype=bool)
        chosen = []
        for _ in range(min(count, n)):
            variance = np.diag(covariance)[:n] + NOISE**2
            gain = (covariance[:n, n:] ** 2) @ matters / variance
            best = int(np.argmax(np.where(free, gain, -1.0)))
            free[best] = False
            chosen.append(kernels[pool[best]])
            column = covariance[:, best].copy()
            covariance -= np.outer(column, column) / variance[best]
        return chosen

    def fit(self, measured_ms: Mapping[Kernel, float]) -> TransferredKernels:
        """Latency of every kernel of the space, from those that were measured.

        Raises:
            PredictorError: too few, a kernel outside the space, or no positive latency.
        """
        kernels = self.relatives.kernels
        index = {k: i for i, k in enumerate(kernels)}
        strange = [k for k in measured_ms if k not in index]
        if strange:
            raise PredictorError(f"{strange[0].key} is no kernel of the space that is transferred")
        bad = [k for k, v in measured_ms.items() if not (np.isfinite(v) and v > 0)]
        if bad:
            raise PredictorError(f"latency of {bad[0].key} is {measured_ms[bad[0]]} ms")
        if len(measured_ms) < MIN_MEASURED:
            raise PredictorError(
                f"{len(measured_ms)} kernels were measured; transfer needs at least {MIN_MEASURED}"
            )
        rows = np.array([index[k] for k in measured_ms], dtype=np.int64)
        values = np.log(np.array(list(measured_ms.values()))) - self.relatives.base[rows]
        scales, inverse = self._fit_scales(rows, values)
        every = np.arange(len(kernels))
        cross = self.covariance(scales, every, rows)
        mean = self.relatives.base + cross @ (inverse @ values)
        return TransferredKernels(
            kernels=kernels,
            log_ms=mean,
            rows=rows,
            scales=scales,
            inverse=inverse,
            transfer=self,
        )

    def covariance(self, scales: FloatArray, rows: Rows, others: Rows) -> FloatArray:
        """Prior covariance of log latencies between kernels, shape (len(rows), len(others))."""
        linear, part_of = self.relatives.linear, self.relatives.part_of
        value: FloatArray = (linear[rows] * scales[part_of] ** 2) @ linear[others].T
        value += scales[PARTS.index("smooth")] ** 2 * self.relatives.smooth_correlation(
            rows, others
        )
        return value

    def _fit_scales(self, rows: Rows, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Scales of the parts by maximum a posteriori, and the inverse covariance of the
        measured kernels; measurements that seem disturbed count less."""
        linear, part_of = self.relatives.linear[rows], self.relatives.part_of
        n = len(values)
        grams = [
            linear[:, part_of == part] @ linear[:, part_of == part].T
            for part in range(len(PARTS) - 1)
        ]
        matrices = np.stack([*grams, self.relatives.smooth_correlation(rows, rows), np.eye(n)])
        start = np.log(np.array([*SCALES, NOISE]))

        def objective(theta: FloatArray) -> tuple[float, FloatArray]:
            square = np.exp(2 * theta)
            factor = cho_factor(np.tensordot(square, matrices, axes=1), lower=True)
            alpha, inverse = cho_solve(factor, values), cho_solve(factor, np.eye(n))
            value = 0.5 * values @ alpha + np.log(np.diag(factor[0])).sum()
            outer = inverse - np.outer(alpha, alpha)
            pull = (theta - start) / SPREAD
            gradient = square * np.einsum("ij,pij->p", outer, matrices) + pull / SPREAD
            return float(value + 0.5 * (pull**2).sum()), gradient

        bounds = [(t - 3.0, t + 3.0) for t in start]
        theta = start
        for remaining in reversed(range(PASSES + 1)):
            theta = minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds).x
            inverse = np.asarray(np.linalg.inv(np.tensordot(np.exp(2 * theta), matrices, axes=1)))
            if remaining:
                noise_variance = np.exp(2 * theta[-1]) * np.diag(matrices[-1])
                matrices[-1] = np.diag(noise_factors(inverse, inverse @ values, noise_variance))
        return np.exp(theta[:-1]), inverse


@dataclass(frozen=True, kw_only=True)
class TransferredKernels:
    """A new device's kernels.

    Attributes:
        kernels: every kernel of the space.
        log_ms: their predicted log milliseconds, shape (n,).
        rows: positions of the measured ones.
        scales: fitted, in the order of `predictors.relatives.PARTS`.
        inverse: covariance of the measured kernels, inverted.
        transfer: what it was fitted by.
    """

    kernels: tuple[Kernel, ...]
    log_ms: FloatArray
    rows: Rows
    scales: FloatArray
    inverse: FloatArray
    transfer: Transfer

    @property
    def table_ms(self) -> dict[Kernel, float]:
        """Milliseconds of every kernel."""
        return {k: float(v) for k, v in zip(self.kernels, np.exp(self.log_ms), strict=True)}

    def typical_deviation(self, counts: FloatArray) -> float:
        """Standard deviation of the relative error of whole subnets: the process's own, at the
        quantile `CAUTION` over the given ones, and what it misses.

        Args:
            counts: how often each subnet has each kernel, shape (subnets, kernels).
        """
        shares = counts * np.exp(self.log_ms)
        shares = shares / shares.sum(axis=1, keepdims=True)
        used = np.flatnonzero(shares.any(axis=0))
        shares = shares[:, used]
        prior = self.transfer.covariance(self.scales, used, used)
        cross = shares @ self.transfer.covariance(self.scales, used, self.rows)
        known = ((cross @ self.inverse) * cross).sum(axis=1)
        variance = ((shares @ prior) * shares).sum(axis=1) - known
        return float(np.sqrt(np.quantile(np.maximum(variance, 0.0), CAUTION) + MISSED**2))


def transfer_predictor(
    measured_ms: Mapping[Kernel, float],
    relatives: Relatives,
    space: SearchSpace,
    *,
    device: str,
    source: str,
    rng: np.random.Generator,
) -> Predictor:
    """Predictor of a new device from known ones and a few measured kernels.

    Its interval is the process's own, over random architectures: no whole subnet of the new
    device was measured that could say more.

    Args:
        source: of the measurements.
        rng: of those architectures.

    Raises:
        PredictorError: as `Transfer.fit`, or measurements of an emulated device.
    """
    refuse_emulated(source)
    fitted = Transfer(relatives).fit(measured_ms)
    index = {k: i for i, k in enumerate(relatives.kernels)}
    counts = np.zeros((SUBNETS, len(index)))
    for row, arch in enumerate(space.sample(SUBNETS, rng)):
        for kernel in lower(arch, space.layout):
            counts[row, index[kernel]] += 1
    deviation = fitted.typical_deviation(counts)
    return Predictor(
        device=device,
        source=source,
        kernels=KernelTable(fitted.table_ms | dict(measured_ms)),
        interval=Interval.normal(deviation),
        report={
            "kernels": len(measured_ms),
            "subnets": 0,
            "like": list(relatives.names),
            "subnet_deviation_pct": 100 * deviation,
        },
    )
