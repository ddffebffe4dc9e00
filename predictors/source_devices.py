"""Source devices: measured devices from which a new one is predicted before it is measured.

For every kernel of a space: the logarithm of the latency that the source devices agree on, and
how the new device may deviate from it (`predictors.deviation_features`). Heads of the usual other
numbers of classes are among them if all source devices can price them, so that the new device can
be asked for any number of classes in between.

Tables contain disturbed rows (a phone that throttled for a while). So each table is smoothed
first, and what is left of a row counts only as far as the source devices agree on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from elasticvit.arrays import BoolArray, FloatArray, IndexArray
from elasticvit.cost import reachable_kernels
from elasticvit.errors import NextStep, PredictorError
from elasticvit.kernels import Head, Kernel
from elasticvit.space import SearchSpace
from lut.sample import HEAD_CLASSES
from predictors.deviation_features import deviation_features, rows_by_kind
from predictors.features import coordinates, work_matrix
from predictors.gp import fit_process
from predictors.kernel_regressors import FLOOR_MS, fit_work

SMOOTHED_FROM = 1500  # kernels a kind that a table is smoothed from
SHARED_LIMIT = 0.04  # a row's rest beyond this is a disturbance, on a log scale


class SourceLatency(Protocol):
    """A source device's latency of kernels on their own."""

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds of each kernel, shape (n,); NaN if unknown."""
        ...

    def covered(self, kernels: Sequence[Kernel]) -> BoolArray:
        """Whether each kernel lies inside what was measured, shape (n,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class SourceDevices:
    """Source devices, and the prior that they give for the kernels of a new device.

    Attributes:
        names: Names of the source devices.
        kernels: Every kernel that the space can contain, then heads of other numbers of classes.
        reachable: Number of kernels that the space can contain.
        base: Log milliseconds that the source devices agree on, shape (n,).
        linear: Features that a device's deviation is linear in, shape (n, columns).
        part_of: For each column the position of its part in `deviation_features.SCALES`, shape
            (columns,).
    """

    names: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    reachable: int
    base: FloatArray
    linear: FloatArray
    part_of: IndexArray

    @classmethod
    def of(cls, known: Mapping[str, SourceLatency], space: SearchSpace) -> SourceDevices:
        """Source devices of a device that will be measured on a space.

        Args:
            known: Latency of kernels on each source device, by its name.

        Raises:
            PredictorError: No source devices, or one that lacks kernels of the space.
        """
        if not known:
            raise PredictorError(
                "a new device is predicted from at least one source device; name one",
                settings=("like",),
            )
        reachable = reachable_kernels(space)
        heads = _other_heads(reachable)
        priced = np.all([model.covered(heads) for model in known.values()], axis=0)
        kernels = (*reachable, *(h for h, p in zip(heads, priced, strict=True) if p))
        logs = []
        for name, model in known.items():
            ms = model.ms(kernels)
            missing = [k for k, v in zip(kernels, ms, strict=True) if not np.isfinite(v)]
            if missing:
                raise PredictorError(
                    f"{name} cannot be a source device: it lacks {missing[0].key} and "
                    f"{len(missing) - 1} more kernels of space {space.name}; profile it longer, or "
                    "name another",
                    settings=("like",),
                    next_step=NextStep("profile", {"device": name}),
                )
            logs.append(np.log(ms))
        smooth = np.stack([_smooth(kernels, log) for log in logs])  # (devices, n)
        base = smooth.mean(axis=0) + _shared(kernels, np.stack(logs) - smooth)
        linear, part_of = deviation_features(kernels, smooth)
        return cls(
            names=tuple(known),
            kernels=kernels,
            reachable=len(reachable),
            base=base,
            linear=linear,
            part_of=part_of,
        )

    def covariance(self, scales: FloatArray, rows: IndexArray, others: IndexArray) -> FloatArray:
        """Prior covariance of log latencies between kernels, shape (len(rows), len(others)).

        Args:
            scales: Standard deviations of the parts, in the order of `deviation_features.SCALES`,
                shape (parts,).
            rows, others: Positions in `kernels`.
        """
        each = scales[self.part_of]
        value: FloatArray = (self.linear[rows] * each) @ (self.linear[others] * each).T
        return value


def _other_heads(kernels: Sequence[Kernel]) -> list[Head]:
    """Each head among the kernels, at the usual other numbers of classes."""
    heads = [k for k in kernels if isinstance(k, Head)]
    return [replace(h, classes=c) for c in HEAD_CLASSES for h in heads if c != h.classes]


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

    The best linear guess from the source devices' rests, if the new one agrees with each of
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
