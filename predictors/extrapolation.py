"""Kernels outside what was measured: their latencies, and how much wider their bounds are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arrays import FloatArray
from elasticvit.errors import NextStep, PredictorError
from elasticvit.kernels import Kernel
from predictors.kernel_regressors import KernelRegressors
from predictors.kernel_table import KernelTable

OCTAVE_DEVIATION = 0.15  # of the log of a prediction, for each octave outside what was measured
WIDE = 2.0  # deviations by which the bound of a kernel that was never measured is raised


class ExtrapolationWarning(UserWarning):
    """Kernels are priced that lie outside what was measured."""


def with_extrapolation(
    model: KernelRegressors | KernelTable, outside: Sequence[Kernel], device: str
) -> KernelRegressors | KernelTable:
    """Latencies that cover kernels outside what was measured: a table is filled up with regressors
    for those it lacks, regressors are used as they are.

    Raises:
        PredictorError: A kind was never measured at all, so that nothing can be extrapolated.
    """
    stand_in = model.regressors() if isinstance(model, KernelTable) else model
    guesses = stand_in.ms(outside)
    unknown = [k for k, g in zip(outside, guesses, strict=True) if np.isnan(g)]
    if unknown:
        raise PredictorError(
            f"no kernel of kind {unknown[0].kind} was ever measured on {device}, so "
            f"{unknown[0].key} cannot be extrapolated; profile the device to measure some",
            next_step=NextStep("profile", {"device": device}),
        )
    if not isinstance(model, KernelTable):
        return model
    missing = [k for k in outside if not model.stand_ins(k)]
    filled = dict(model.table_ms) | dict(zip(missing, stand_in.ms(missing), strict=True))
    return KernelTable(filled)


def extra_ms(
    model: KernelRegressors | KernelTable, outside: Sequence[Kernel], ms: FloatArray
) -> FloatArray:
    """Milliseconds by which the bounds of extrapolated kernels are raised, shape (n,).

    Args:
        ms: Their latencies in milliseconds, shape (n,).
    """
    octaves: FloatArray = np.zeros(len(outside))
    deviation: FloatArray = np.full(len(outside), OCTAVE_DEVIATION)
    if isinstance(model, KernelRegressors):
        octaves = model.octaves_outside(outside)
        octaves = np.where(np.isfinite(octaves), octaves, 1.0)  # another operation altogether
        deviation = model.deviation(outside)
    spread = np.sqrt(deviation**2 + (OCTAVE_DEVIATION * np.maximum(octaves, 1.0)) ** 2)
    value: FloatArray = ms * np.expm1(WIDE * spread)
    return value
