"""Pricing architectures by latency: one look-up a stage, as for multiply-accumulates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.arch import ArchBatch
from elasticvit.cost import StageTables, space_kernels
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.space import SearchSpace
from lut.sample import reachable_kernels
from predictors.interval import Interval
from predictors.kernel_model import KernelModel
from predictors.kernel_table import KernelTable
from predictors.network import NetworkModel

FloatArray = npt.NDArray[np.float64]
OCTAVE_DEVIATION = 0.15  # of the log of a prediction, for each octave outside what was measured
WIDE = 2.0  # deviations by which the bound of a kernel that was never measured is raised


NAMED = 5  # kernels that a message names before it only counts


class Prices(Protocol):
    """What a `predictors.predictor.Predictor` offers to its cost; see there."""

    @property
    def device(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def kernels(self) -> KernelModel | KernelTable: ...

    @property
    def network(self) -> NetworkModel: ...

    @property
    def interval(self) -> Interval: ...

    def outside(self, kernels: Sequence[Kernel]) -> list[Kernel]: ...

    def check(self, kernels: Sequence[Kernel]) -> None: ...


class ExtrapolationWarning(UserWarning):
    """Kernels are priced that lie outside what was measured."""


class LatencyCost:
    """Predicted latency in milliseconds of the architectures of a space.

    Args:
        predictor: of the device.
        space: a table covers exactly its choices.
        extrapolate: price kernels outside what was measured, with a wider bound and a warning,
            instead of refusing them.

    Raises:
        PredictorError: kernels of the space lie outside what was measured, by name.
    """

    unit = "ms"

    def __init__(self, predictor: Prices, space: SearchSpace, *, extrapolate: bool = False) -> None:
        self.predictor = predictor
        self.space = space
        self.name = f"latency on {predictor.device}"
        kernels = space_kernels(space)
        outside = predictor.outside(reachable_kernels(space))
        if outside and not extrapolate:
            predictor.check(outside)
        self.extrapolated: tuple[Kernel, ...] = tuple(outside)
        model = predictor.kernels
        if outside:
            model = _with_stand_in(predictor, outside)
            named = "; ".join(k.key for k in outside[:NAMED])
            warnings.warn(
                f"{len(outside)} kernels lie outside what was measured on {predictor.device} and "
                f"are extrapolated ({named}{', ...' if len(outside) > NAMED else ''}); their "
                "bounds are widened",
                ExtrapolationWarning,
                stacklevel=3,
            )
        inside_ms = predictor.network.ms(kernels, model.ms(kernels))
        values = dict(zip(kernels, inside_ms, strict=True))
        self._subnet_ms = predictor.network.subnet_ms
        self._tables = StageTables(space, lambda ks: np.array([values[k] for k in ks]))
        self._extra: StageTables | None = None
        if outside:
            extra = _extra_ms(model, outside, np.array([values[k] for k in outside]))
            added = dict(zip(outside, extra, strict=True))
            self._extra = StageTables(space, lambda ks: np.array([added.get(k, 0.0) for k in ks]))

    def price(self, batch: ArchBatch) -> FloatArray:
        """Predicted milliseconds of every architecture, shape (n,).

        Raises:
            ArchError: a gene has a value that the space does not offer.
            PredictorError: an architecture breaks the space's rule on widths and has a kernel
                that the predictor does not know.
        """
        total = self._tables.sum(batch) + self._subnet_ms
        if np.isnan(total).any():
            arch = batch[int(np.flatnonzero(np.isnan(total))[0])]
            self.predictor.check(lower(arch, self.space.layout))
            raise PredictorError(f"architecture {arch} cannot be priced; it is not in the space")
        return total

    def price_upper(self, batch: ArchBatch) -> FloatArray:
        """Upper bound of the latency in milliseconds, shape (n,), for hard caps.

        It holds with the predictor's nominal coverage; where nothing is known about the error,
        it is the prediction itself. Raises as `price` does.
        """
        bound = self.price(batch) * self.predictor.interval.upper
        return bound if self._extra is None else bound + self._extra.sum(batch)


def _with_stand_in(predictor: Prices, outside: Sequence[Kernel]) -> KernelModel | KernelTable:
    """Latencies of kernels; a table is filled up with regressors for those it lacks.

    Raises:
        PredictorError: a kind was never measured at all, so that nothing can be extrapolated.
    """
    model = predictor.kernels
    stand_in = model.regressors() if isinstance(model, KernelTable) else model
    guesses = stand_in.ms(outside)
    unknown = [k for k, g in zip(outside, guesses, strict=True) if np.isnan(g)]
    if unknown:
        raise PredictorError(
            f"no kernel of kind {unknown[0].kind} was ever measured on {predictor.device}, so "
            f"{unknown[0].key} cannot be extrapolated; measure some with `evit-profile`"
        )
    if not isinstance(model, KernelTable):
        return model
    missing = [k for k in outside if model.find(k) is None]
    filled = dict(model.table_ms) | dict(zip(missing, stand_in.ms(missing), strict=True))
    return KernelTable(filled)


def _extra_ms(
    model: KernelModel | KernelTable, outside: Sequence[Kernel], ms: FloatArray
) -> FloatArray:
    """Milliseconds by which the bounds of extrapolated kernels are raised."""
    octaves: FloatArray = np.zeros(len(outside))
    deviation: FloatArray = np.full(len(outside), OCTAVE_DEVIATION)
    if isinstance(model, KernelModel):
        octaves = model.octaves_outside(outside)
        octaves = np.where(np.isfinite(octaves), octaves, 1.0)  # another operation altogether
        deviation = model.deviation(outside)
    spread = np.sqrt(deviation**2 + (OCTAVE_DEVIATION * np.maximum(octaves, 1.0)) ** 2)
    value: FloatArray = ms * np.expm1(WIDE * spread)
    return value
