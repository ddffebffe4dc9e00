"""Fitting a predictor to what was measured; no store, no device, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from elasticvit.arch import Arch
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.precisions import FP32, profile_step
from elasticvit.space import SearchSpace
from predictors.fit_report import FitReport
from predictors.interval import Interval
from predictors.kernel_regressors import KernelRegressors
from predictors.kernel_table import KernelTable
from predictors.metrics import error_summary
from predictors.network_correction import (
    MIN_SUBNETS,
    NetworkCorrection,
    fit_network_correction,
    priced,
)
from predictors.predictor import Predictor

EMULATED = "emulated"  # in the first part of a source: `adb-emulated:SERIAL`


def fit_predictor(
    kernels: Mapping[Kernel, float],
    subnets: Mapping[Arch, float],
    space: SearchSpace,
    *,
    device: str,
    source: str,
    precision: str = FP32,
    cpu: CpuSetting | None = None,
) -> Predictor:
    """Fit a predictor.

    Args:
        kernels: Milliseconds of single kernels; may be empty if there are subnets.
        subnets: Milliseconds of whole subnets of `space`; may be empty, and the price is then
            the plain sum of kernels.
        space: Space of the subnets.
        device, source, precision, cpu: As in `Predictor`.

    Raises:
        PredictorError: Nothing measured, too little of a kind, a latency that is not a positive
            number, or measurements of an emulated device.
    """
    refuse_emulated(source)
    for thing, value in [*kernels.items(), *subnets.items()]:
        if not (np.isfinite(value) and value > 0):
            name = thing.key if isinstance(thing, Kernel) else str(thing)
            raise PredictorError(f"latency of {name} is {value} ms; it must be positive")
    archs = list(subnets)
    lowered = [lower(arch, space.layout) for arch in archs]
    measured = np.array([subnets[arch] for arch in archs])
    if kernels:
        model = KernelRegressors.fit(kernels)
    elif archs:
        model = KernelRegressors.fit_subnets(lowered, measured)
    else:
        raise PredictorError(
            f"nothing was measured on {device}; profile it first",
            next_step=profile_step(device, precision),
        )
    report = FitReport(kernels=len(kernels), subnets=len(subnets))
    if kernels:
        names = list(kernels)
        errors = error_summary(model.ms(names), [kernels[k] for k in names])
        report = replace(report, kernels_fitted=errors)
    network, interval = NetworkCorrection.plain(), Interval.unknown()
    if archs:
        covered = _check_kinds(model, lowered)
        before = np.array([model.ms(ks).sum() for ks in covered])
        network = fit_network_correction(lowered, measured, model.ms)
        interval = Interval.conformal(network.leave_one_out_ratios)
        held_out = error_summary(measured / network.leave_one_out_ratios, measured)
        report = replace(
            report,
            subnets_sum_of_kernels=error_summary(before, measured),
            subnets_held_out=held_out,
        )
    return Predictor(
        device=device,
        source=source,
        precision=precision,
        cpu=cpu,
        kernels=model,
        network=network,
        interval=interval,
        report=report,
    )


def with_subnets(
    predictor: Predictor, subnets: Mapping[Arch, float], space: SearchSpace
) -> Predictor:
    """The predictor with its sums of kernels corrected by a few whole subnets of `space`, and an
    interval that is as wide as the error on each of them, predicted from the others.

    Args:
        subnets: Milliseconds of each. Those with a kernel that the predictor has no latency of are
            left out; fewer than `MIN_SUBNETS` change nothing.
    """
    every = [lower(arch, space.layout) for arch in subnets]
    lowered, measured_ms = priced(every, subnets.values(), predictor.kernels.ms)
    if len(lowered) < MIN_SUBNETS:
        return predictor
    network = fit_network_correction(lowered, measured_ms, predictor.kernels.ms)
    seen, own = Interval.conformal(network.leave_one_out_ratios), predictor.interval
    return replace(
        predictor,
        network=network,
        interval=replace(seen, lower=min(seen.lower, own.lower), upper=max(seen.upper, own.upper)),
        report=replace(predictor.report, subnets=len(lowered)),
    )


def _check_kinds(
    model: KernelRegressors, lowered: list[tuple[Kernel, ...]]
) -> list[tuple[Kernel, ...]]:
    missing = sorted({k.kind for ks in lowered for k in ks} - set(model.kinds))
    if missing:
        raise PredictorError(
            f"whole subnets were measured, but no single kernel of kind {', '.join(missing)}; "
            "measure some of every kind, or none at all"
        )
    return lowered


def refuse_emulated(source: str) -> None:
    """Refuse to fit to measurements of an emulated device.

    Raises:
        PredictorError: The source is an emulated device.
    """
    if EMULATED in source.partition(":")[0]:
        raise PredictorError(
            f"measurements of {source} come from an emulator: they show that models run, not how "
            "long they take; measure on the device itself"
        )


def table_predictor(
    kernels: Mapping[Kernel, float], *, device: str, source: str, precision: str = FP32
) -> Predictor:
    """A predictor that reads a table of which nobody recorded how it was measured: exact where
    it has a kernel, refused by name where not.

    Raises:
        PredictorError: An empty table, a latency that is not a positive number, or measurements
            of an emulated device.
    """
    refuse_emulated(source)
    table = KernelTable(dict(kernels))
    return Predictor(
        device=device,
        source=source,
        precision=precision,
        kernels=table,
        report=FitReport(kernels=len(kernels), recorded=False),
    )
