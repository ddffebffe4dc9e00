"""What known devices say about a new one before anything is measured on it.

For every kernel of a space: the logarithm of the latency that the known devices agree on, and
how the new device may depart from it (`predictors.departures`).

Tables contain disturbed rows (a phone that throttled for a while). So each table is smoothed
first, and what is left of a row counts only as far as the known devices agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel
from elasticvit.space import SearchSpace
from lut.sample import reachable_kernels
from predictors.departures import departures, rows_by_kind
from predictors.features import coordinates, work_matrix
from predictors.gp import fit_process
from predictors.kernel_model import FLOOR_MS, fit_work

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]  # positions in `Relatives.kernels`
SMOOTHED_FROM = 1500  # kernels a kind that a table is smoothed from
SHARED_LIMIT = 0.04  # a row's rest beyond this is a disturbance, on a log scale


class KnownLatency(Protocol):
    """A known device's latency of kernels on their own."""

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds, shape (n,); NaN where unknown."""
        ...


@dataclass(frozen=True, kw_only=True)
class Relatives:
    """Known devices, seen from a new one.

    Attributes:
        names: of the known devices.
        kernels: every kernel that the space can contain.
        base: log milliseconds that the known devices agree on, shape (n,).
        linear: what a device's departure is linear in, shape (n, columns).
        part_of: for each column, the position of its part in `departures.SCALES`, shape (columns,).
    """

    names: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    base: FloatArray
    linear: FloatArray
    part_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, known: Mapping[str, KnownLatency], space: SearchSpace) -> Relatives:
        """Relatives of a device that will be measured on a space.

        Raises:
            PredictorError: no known devices, or one that lacks kernels of the space.
        """
        if not known:
            raise PredictorError("transfer needs at least one known device; name it with --like")
        kernels = tuple(reachable_kernels(space))
        logs = []
        for name, model in known.items():
            ms = model.ms(kernels)
            missing = [k for k, v in zip(kernels, ms, strict=True) if not np.isfinite(v)]
            if missing:
                raise PredictorError(
                    f"{name} is no help here: it lacks {missing[0].key} and {len(missing) - 1} "
                    f"more kernels of space {space.name}"
                )
            logs.append(np.log(ms))
        smooth = np.stack([_smooth(kernels, log) for log in logs])  # (devices, n)
        base = smooth.mean(axis=0) + _shared(kernels, np.stack(logs) - smooth)
        linear, part_of = departures(kernels, smooth)
        return cls(
            names=tuple(known),
            kernels=kernels,
            base=base,
            linear=linear,
            part_of=part_of,
        )

    def covariance(self, scales: FloatArray, rows: Rows, others: Rows) -> FloatArray:
        """Prior covariance of log latencies between kernels, shape (len(rows), len(others)).

        Args:
            scales: standard deviations of the parts, in the order of `departures.SCALES`.
        """
        each = scales[self.part_of]
        value: FloatArray = (self.linear[rows] * each) @ (self.linear[others] * each).T
        return value


def _smooth(kernels: Sequence[Kernel], log_ms: FloatArray) -> FloatArray:
    """A table's log latencies without the scatter of single rows, shape (n,)."""
    smooth = np.empty(len(kernels))
    for rows in rows_by_kind(kernels).values():
        group, y = [kernels[i] for i in rows], log_ms[rows]
        work = work_matrix(group)
        trend = np.log(np.maximum(work @ fit_work(work, np.exp(y)), FLOOR_MS))
        x, rest = coordinates(group), y - trend
        some = np.random.default_rng(0).permutation(len(rows))[:SMOOTHED_FROM]
        middle = float(np.median(rest))
        smooth[rows] = trend + middle + fit_process(x[some], rest[some] - middle).mean(x)
    return smooth


def _shared(kernels: Sequence[Kernel], rest: FloatArray) -> FloatArray:
    """What of the rows' rests (devices, n) a new device is expected to have too, shape (n,).

    The best linear guess from the known devices' rests, if the new one agrees with each of
    them as they do with each other; nothing when there is only one.
    """
    value = np.zeros(rest.shape[1])
    if len(rest) < 2:
        return value
    clipped = np.clip(rest, -SHARED_LIMIT, SHARED_LIMIT)
    for rows in rows_by_kind(kernels).values():
        covariance = np.cov(clipped[:, rows])
        between = covariance[~np.eye(len(rest), dtype=bool)]
        target = np.full(len(rest), max(0.0, float(between.mean())))
        ridge = 1e-7 * np.eye(len(rest))
        value[rows] = clipped[:, rows].T @ np.linalg.solve(covariance + ridge, target)
    return value
