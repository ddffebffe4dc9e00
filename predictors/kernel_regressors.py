"""Latency of single kernels, one regressor a kind.

A kernel's latency is taken as a nonnegative combination of its work (multiply-accumulates,
elements, bytes), times a smooth factor of its dimensions that a Gaussian process fits on
the log scale. On three phones' tables this has a fifth to a quarter of the error of boosted
trees, which cannot extend a trend between a few points, and less than a Gaussian process
without the work (`benchmarks/regressors.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from scipy.optimize import nnls  # type: ignore[import-untyped]

from elasticvit.arrays import BoolArray, FloatArray
from elasticvit.errors import NextStep, PredictorError
from elasticvit.kernels import KINDS, Kernel
from predictors.features import WORK_NAMES, coordinates, work_matrix
from predictors.gp import GaussianProcess, Prior, fit_process
from predictors.saved import Arrays, SavedArrays

MIN_KERNELS = 2  # of a kind; fewer say nothing about its shape
REACH_OCTAVES = 0.6  # a dimension may lie this far beyond what was measured: a factor of 1.5
EXACT_DIMS = ("stride", "se", "kernel")  # dimensions that change the operations themselves
FLOOR_MS = 1e-6
UNMEASURED_DEVIATION = 0.1  # of a kernel that was only ever timed inside whole subnets


@dataclass(frozen=True, kw_only=True)
class KindRegressor:
    """Regressor of one kind.

    Attributes:
        work_ms: Milliseconds per unit of work, shape (len(WORK_NAMES),).
        process: Gaussian process of the log of measured latency over that of the work; None if
            only whole subnets were measured.
        lows, highs: Least and greatest coordinates measured, shape (dimensions,).
        exact: Combinations of `exact_dims` that were measured.
    """

    work_ms: FloatArray
    process: GaussianProcess | None
    lows: FloatArray
    highs: FloatArray
    exact: frozenset[tuple[int, ...]]

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds of each kernel on its own, shape (n,)."""
        value: FloatArray = np.maximum(work_matrix(kernels) @ self.work_ms, FLOOR_MS)
        if self.process is not None:
            value = value * np.exp(self.process.mean(coordinates(kernels)))
        return value

    def deviation(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Standard deviation of the log of each prediction, shape (n,)."""
        if self.process is None:
            return np.full(len(kernels), UNMEASURED_DEVIATION)
        return self.process.deviation(coordinates(kernels))

    def octaves_outside(self, kernels: Sequence[Kernel]) -> FloatArray:
        """How far beyond the measured dimensions each kernel lies, in octaves, shape (n,); infinite
        for an operation that was never measured."""
        x = coordinates(kernels)
        below, above = self.lows - x, x - self.highs
        beyond: FloatArray = np.maximum(np.maximum(below, above), 0.0).max(axis=1)
        unseen = np.array([exact_dims(k) not in self.exact for k in kernels])
        beyond[beyond <= REACH_OCTAVES] = 0.0
        beyond[unseen] = np.inf
        return beyond


def exact_dims(kernel: Kernel) -> tuple[int, ...]:
    """What changes a kernel's operations: some dimensions, and whether there is an expansion."""
    dims = kernel.dims
    return (*(dims[name] for name in EXACT_DIMS if name in dims), int(dims.get("expansion") == 1))


def fit_work(work: FloatArray, measured_ms: FloatArray) -> FloatArray:
    """Nonnegative milliseconds per unit of work, least squares of the relative error.

    Args:
        work: Work of kernels, or summed over whole subnets, shape (n, features).
        measured_ms: Their latencies in milliseconds, shape (n,).
    """
    scale = work.max(axis=0)
    scale[scale == 0] = 1.0
    rates, _ = nnls(work / scale / measured_ms[:, None], np.ones(len(measured_ms)))
    result: FloatArray = rates / scale
    return result


def fit_kind(kernels: Sequence[Kernel], measured_ms: FloatArray) -> KindRegressor:
    """Fit one kind's regressor; `measured_ms` has shape (len(kernels),)."""
    x = coordinates(kernels)
    work = work_matrix(kernels)
    rates = fit_work(work, measured_ms)
    ratio = measured_ms / np.maximum(work @ rates, FLOOR_MS)
    return KindRegressor(
        work_ms=rates,
        process=fit_process(x, np.log(ratio), Prior()),
        lows=x.min(axis=0),
        highs=x.max(axis=0),
        exact=frozenset(exact_dims(k) for k in kernels),
    )


class RegressorState(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="regressors"):
    """`KernelRegressors` in a saved predictor, but for their arrays: the names of the features, and
    for each kind the combinations of `exact_dims` that were measured."""

    work: tuple[str, ...]
    exact: dict[str, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class KernelRegressors:
    """Regressors by kind.

    Attributes:
        kinds: One `KindRegressor` a kind that was measured.
    """

    kinds: Mapping[str, KindRegressor]

    @classmethod
    def fit(cls, measured_ms: Mapping[Kernel, float]) -> KernelRegressors:
        """Fit every kind that was measured.

        Raises:
            PredictorError: Too few kernels of a kind, or a latency that is not positive.
        """
        groups: dict[str, list[Kernel]] = defaultdict(list)
        for kernel in sorted(measured_ms, key=lambda k: (k.kind, *k.dims.values())):
            groups[kernel.kind].append(kernel)
        kinds = {}
        for kind, kernels in groups.items():
            if len(kernels) < MIN_KERNELS:
                raise PredictorError(
                    f"{len(kernels)} measured kernels of kind {kind}; at least {MIN_KERNELS} are "
                    "needed: profile the device longer to measure more",
                    settings=("budget_minutes",),
                    next_step=NextStep("profile"),
                )
            kinds[kind] = fit_kind(kernels, np.array([measured_ms[k] for k in kernels]))
        return cls(kinds)

    @classmethod
    def fit_subnets(
        cls, subnets: Sequence[Sequence[Kernel]], measured_ms: FloatArray
    ) -> KernelRegressors:
        """Fit to whole subnets alone: one rate for each class of work, the same in all kinds."""
        rates = fit_work(np.stack([work_matrix(s).sum(axis=0) for s in subnets]), measured_ms)
        kinds = {}
        for kind in KINDS:
            kernels = [k for k in {k for s in subnets for k in s} if k.kind == kind]
            if kernels:
                x = coordinates(kernels)
                kinds[kind] = KindRegressor(
                    work_ms=rates,
                    process=None,
                    lows=x.min(axis=0),
                    highs=x.max(axis=0),
                    exact=frozenset(exact_dims(k) for k in kernels),
                )
        return cls(kinds)

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds of each kernel on its own, shape (n,); NaN if its kind was never
        measured."""
        return self._by_kind(kernels, lambda model, group: model.ms(group), np.nan)

    def octaves_outside(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Distance beyond what was measured, in octaves, shape (n,); 0 inside, infinite if
        unknown."""
        return self._by_kind(kernels, lambda model, group: model.octaves_outside(group), np.inf)

    def covered(self, kernels: Sequence[Kernel]) -> BoolArray:
        """Whether each kernel lies inside the measured range, shape (n,)."""
        inside: BoolArray = self.octaves_outside(kernels) == 0
        return inside

    def deviation(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Standard deviation of the log of each prediction, shape (n,)."""
        return self._by_kind(kernels, lambda model, group: model.deviation(group), np.inf)

    def _by_kind(self, kernels: Sequence[Kernel], function: Any, missing: float) -> FloatArray:
        values = np.full(len(kernels), missing)
        names = np.array([k.kind for k in kernels])
        for kind, model in self.kinds.items():
            (rows,) = np.nonzero(names == kind)
            if rows.size:
                values[rows] = function(model, [kernels[int(i)] for i in rows])
        return values

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON-ready description (a `RegressorState`) and arrays, for `from_state`."""
        arrays: Arrays = {}
        for kind, model in self.kinds.items():
            arrays[f"{kind}/work_ms"] = model.work_ms
            arrays[f"{kind}/lows"], arrays[f"{kind}/highs"] = model.lows, model.highs
            for name, array in model.process.to_arrays().items() if model.process else ():
                arrays[f"{kind}/process/{name}"] = array
        exact = {k: tuple(sorted(m.exact)) for k, m in self.kinds.items()}
        return msgspec.to_builtins(RegressorState(work=WORK_NAMES, exact=exact)), arrays

    @classmethod
    def from_state(cls, state: RegressorState, arrays: SavedArrays) -> KernelRegressors:
        """Inverse of `state`.

        Raises:
            PredictorError: Another version wrote it, or an array is missing or damaged.
        """
        if state.work != WORK_NAMES or not set(state.exact) <= set(KINDS):
            arrays.refuse(
                "the predictor has other features or kernel kinds than this version of elasticvit"
            )
        if {name.partition("/")[0] for name in arrays.arrays} - {"network"} != set(state.exact):
            arrays.refuse(f"arrays of other kinds of kernels than {', '.join(state.exact)}")
        kinds = {}
        for kind, exact in state.exact.items():
            lows = arrays.numbers(f"{kind}/lows", None)
            process = f"{kind}/process/"
            kinds[kind] = KindRegressor(
                work_ms=arrays.numbers(f"{kind}/work_ms", len(WORK_NAMES), least=0.0),
                process=(
                    GaussianProcess.from_saved(arrays, process, len(lows))
                    if any(name.startswith(process) for name in arrays.arrays)
                    else None
                ),
                lows=lows,
                highs=arrays.numbers(f"{kind}/highs", len(lows)),
                exact=frozenset(exact),
            )
        return cls(kinds)
