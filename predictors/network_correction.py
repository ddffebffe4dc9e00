"""From kernels on their own to whole subnets.

A kernel that is timed alone finds its weights in the cache; inside a subnet it does not, and
the runtime fuses and places things differently. What a kernel costs inside a subnet is taken
as its own latency times 1 + r, where r is the sum of a factor of all kernels, a factor of its
kind, a smooth function of its dimensions, a constant a call and a cost a byte of weights; the
subnet adds a constant. All parts are small a priori (a Gaussian process), so that without
subnets the price is the plain sum, and each subnet that is timed moves it where it must.

A subnet's latency is linear in r, so the process is conditioned on whole subnets in closed
form, and the result stays a number a kernel: pricing is still a table look-up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from elasticvit.arrays import FloatArray
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel
from elasticvit.likelihood import most_probable_parts
from elasticvit.linear_algebra import one_blas_thread
from predictors.features import WORK_NAMES, coordinates, work_matrix
from predictors.gp import PASSES, matern, noise_factors
from predictors.saved import Arrays, SavedArrays
from predictors.saved_kernels import saved_kernels

KernelMs = Callable[[Sequence[Kernel]], FloatArray]

SMOOTH_OCTAVES = 1.5  # length scale of the smooth factor along each dimension
PARTS = ("all", "kind", "smooth", "call", "weights", "subnet")
PRIOR = (0.15, 0.10, 0.10, 0.02, 0.15, 0.02)  # standard deviation of each part's share
PRIOR_NOISE = 0.02
SPREAD = 0.5  # of the logarithms of those, when they are fitted
MIN_SUBNETS = 4
# single numbers of a correction, by the names that they are saved under
NUMBERS: Mapping[str, str] = {
    "overall": "overall",
    "call_ms": "call_ms",
    "weight_ms": "weight_ms",
    "constant_ms": "subnet_ms",
}


@dataclass(frozen=True)
class Composition:
    """Subnets as counts of kernels.

    Attributes:
        kernels: The distinct kernels, ordered by kind and dimensions.
        counts: Number of times that each subnet has each kernel, shape (subnets, kernels).
    """

    kernels: tuple[Kernel, ...]
    counts: FloatArray

    @classmethod
    def of(cls, subnets: Sequence[Sequence[Kernel]]) -> Composition:
        """Composition of lowered subnets."""
        found = {k for subnet in subnets for k in subnet}
        kernels = tuple(sorted(found, key=lambda k: (k.kind, *k.dims.values())))
        index = {k: i for i, k in enumerate(kernels)}
        counts = np.zeros((len(subnets), len(kernels)))
        for row, subnet in enumerate(subnets):
            for kernel, count in Counter(subnet).items():
                counts[row, index[kernel]] = count
        return cls(kernels, counts)


def _kinds(kernels: Sequence[Kernel]) -> npt.NDArray[np.str_]:
    return np.array([k.kind for k in kernels])


def _smooth(a: Sequence[Kernel], b: Sequence[Kernel]) -> FloatArray:
    """Correlation of two lists' smooth factors, shape (len(a), len(b)); 0 between kinds."""
    value = np.zeros((len(a), len(b)))
    kinds_a, kinds_b = _kinds(a), _kinds(b)
    for kind in set(kinds_a) & set(kinds_b):
        rows, columns = np.flatnonzero(kinds_a == kind), np.flatnonzero(kinds_b == kind)
        x, y = coordinates([a[int(i)] for i in rows]), coordinates([b[int(i)] for i in columns])
        value[np.ix_(rows, columns)] = matern(x, y, np.full(x.shape[1], SMOOTH_OCTAVES))
    return value


def _weight_bytes(kernels: Sequence[Kernel]) -> FloatArray:
    column: FloatArray = work_matrix(kernels)[:, WORK_NAMES.index("weight_bytes")]
    return column


class NetworkState(msgspec.Struct, frozen=True, kw_only=True):
    """The single numbers of a `NetworkCorrection` in a saved predictor, and the names of its
    parts."""

    overall: float
    call_ms: float
    weight_ms: float
    subnet_ms: float
    by_kind: dict[str, float]
    parts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NetworkCorrection:
    """Correction of the sum of kernels.

    Attributes:
        overall: Part of r that all kernels share.
        by_kind: R of each kind, on top.
        call_ms, weight_ms: Milliseconds a call and a byte of weights.
        constant_ms: Milliseconds that a subnet costs besides its kernels.
        centers, center_weights: The smooth part is the correlation with these kernels times
            these weights, shape (len(centers),).
        scales: Fitted standard deviations of the parts, in the order of `PARTS`, and of the
            noise, shape (len(PARTS) + 1,).
        leave_one_out_ratios: Measured over predicted latency of each subnet, by a fit that did not
            see it, shape (subnets,).
    """

    overall: float = 0.0
    by_kind: Mapping[str, float]
    call_ms: float = 0.0
    weight_ms: float = 0.0
    constant_ms: float = 0.0
    centers: tuple[Kernel, ...] = ()
    center_weights: FloatArray
    scales: FloatArray
    leave_one_out_ratios: FloatArray

    @classmethod
    def plain(cls) -> NetworkCorrection:
        """The sum of kernels as it is."""
        empty = np.zeros(0)
        return cls(by_kind={}, center_weights=empty, scales=empty, leave_one_out_ratios=empty)

    def ms(self, kernels: Sequence[Kernel], alone_ms: FloatArray) -> FloatArray:
        """Milliseconds that each kernel costs inside a subnet, shape (n,)."""
        factor = np.full(len(kernels), 1 + self.overall)
        factor += np.array([self.by_kind.get(k.kind, 0.0) for k in kernels])
        if self.centers:
            factor += _smooth(kernels, self.centers) @ self.center_weights
        value = alone_ms * factor + self.call_ms
        if self.weight_ms:
            value = value + self.weight_ms * _weight_bytes(kernels)
        positive: FloatArray = np.maximum(value, 0.0)  # a kernel never gives time back
        return positive

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON-ready description (a `NetworkState`) and arrays, for `from_state`."""
        numbers = {saved: getattr(self, name) for name, saved in NUMBERS.items()}
        state = NetworkState(**numbers, by_kind=dict(self.by_kind), parts=PARTS)
        return msgspec.to_builtins(state), {
            "network/centers": np.array([k.key for k in self.centers], dtype=np.str_),
            "network/center_weights": self.center_weights,
            "network/scales": self.scales,
            "network/held_out": self.leave_one_out_ratios,
        }

    @classmethod
    def from_state(cls, state: NetworkState, arrays: SavedArrays) -> NetworkCorrection:
        """Inverse of `state`.

        Raises:
            PredictorError: Another version wrote it, or an array is missing or damaged.
        """
        if state.parts != PARTS:
            arrays.refuse(
                "the predictor has another network correction than this version of elasticvit"
            )
        centers = saved_kernels(arrays, "network/centers")
        if {kernel.kind for kernel in centers} != set(state.by_kind):
            arrays.refuse(f"kernels of other kinds than {', '.join(state.by_kind) or 'none'}")
        return cls(
            **{name: getattr(state, saved) for name, saved in NUMBERS.items()},
            by_kind=state.by_kind,
            centers=centers,
            center_weights=arrays.numbers("network/center_weights", len(centers)),
            scales=arrays.numbers("network/scales", None, least=0.0),
            leave_one_out_ratios=arrays.numbers("network/held_out", None),
        )


def priced(
    subnets: Sequence[Sequence[Kernel]], measured_ms: Iterable[float], kernel_ms: KernelMs
) -> tuple[list[Sequence[Kernel]], FloatArray]:
    """The subnets with a latency for each of their kernels, and what was measured of these: a table
    that is looked up lacks kernels of another space.

    Args:
        subnets: Lowered subnets.
        measured_ms: Their latencies in milliseconds, one a subnet.
        kernel_ms: Milliseconds of kernels on their own; not a number where there are none.
    """
    known = [bool(np.isfinite(kernel_ms(kernels)).all()) for kernels in subnets]
    times = np.fromiter(compress(measured_ms, known), dtype=np.float64)
    return list(compress(subnets, known)), times


@one_blas_thread()
def fit_network_correction(
    subnets: Sequence[Sequence[Kernel]], measured_ms: FloatArray, kernel_ms: KernelMs
) -> NetworkCorrection:
    """Fit the correction to whole subnets.

    Args:
        subnets: Lowered subnets.
        measured_ms: Their latencies in milliseconds, shape (len(subnets),).
        kernel_ms: Milliseconds of kernels on their own, one a kernel.

    Raises:
        PredictorError: Fewer than four subnets, or one has a kernel without a latency.
    """
    if len(subnets) < MIN_SUBNETS:
        raise PredictorError(
            f"{len(subnets)} whole subnets were measured; at least {MIN_SUBNETS} are needed to "
            "correct the sum of kernels, or none to use the plain sum; measure more"
        )
    composition = Composition.of(subnets)
    kernels = composition.kernels
    alone = kernel_ms(kernels)
    cost = composition.counts * alone
    total = cost.sum(axis=1)
    if not np.isfinite(total).all():
        unknown = kernels[int(np.flatnonzero(~np.isfinite(alone))[0])]
        raise PredictorError(
            f"whole subnets have kernel {unknown.key}, of which there is no latency; leave them "
            "out, or measure it"
        )
    excess = measured_ms / total - 1
    kinds = sorted(set(_kinds(kernels)))
    shares = cost / total[:, None]
    by_kind = np.stack([shares[:, _kinds(kernels) == kind].sum(axis=1) for kind in kinds], axis=1)
    calls = composition.counts.sum(axis=1) / total
    weights = composition.counts @ _weight_bytes(kernels) / total
    units = [float(np.median(v)) for v in (calls, weights, 1 / total)]
    calls, weights, subnet = calls / units[0], weights / units[1], 1 / total / units[2]
    ones = np.ones(len(subnets))
    grams = np.stack(
        [
            np.outer(ones, ones),
            by_kind @ by_kind.T,
            shares @ _smooth(kernels, kernels) @ shares.T,
            np.outer(calls, calls),
            np.outer(weights, weights),
            np.outer(subnet, subnet),
        ]
    )
    scales, noise, inverse = _fit_scales(grams, excess)
    alpha = inverse @ excess
    left_out = 1 + excess - alpha / np.diag(inverse)  # each predicted from the others
    square = scales**2
    return NetworkCorrection(
        overall=float(square[0] * alpha.sum()),
        by_kind={
            str(k): float(v) for k, v in zip(kinds, square[1] * by_kind.T @ alpha, strict=True)
        },
        centers=kernels,
        center_weights=square[2] * shares.T @ alpha,
        call_ms=float(square[3] * calls @ alpha / units[0]),
        weight_ms=float(square[4] * weights @ alpha / units[1]),
        constant_ms=float(square[5] * subnet @ alpha / units[2]),
        scales=np.append(scales, noise),
        leave_one_out_ratios=(1 + excess) / left_out,
    )


def _fit_scales(grams: FloatArray, excess: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Standard deviations of the parts and of the noise by maximum a posteriori, and the
    inverse of the covariance; subnets that seem disturbed count less."""
    start = np.log(np.array([*PRIOR, PRIOR_NOISE]))
    matrices = np.concatenate([grams, np.eye(len(excess))[None]])
    theta = start
    for remaining in reversed(range(PASSES + 1)):
        theta = most_probable_parts(matrices, excess, start, SPREAD, within=(4.0, 3.0), begin=theta)
        inverse = np.linalg.inv(np.tensordot(np.exp(2 * theta), matrices, axes=1))
        if remaining:
            noise_variance = np.exp(2 * theta[-1]) * np.diag(matrices[-1])
            matrices[-1] = np.diag(noise_factors(inverse, inverse @ excess, noise_variance))
    scales = np.exp(theta)
    return scales[:-1], float(scales[-1]), inverse
