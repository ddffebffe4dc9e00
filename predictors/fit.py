"""Fitting a predictor to what was measured; no store, no device, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arch import Arch
from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.space import SearchSpace
from predictors.interval import Interval
from predictors.kernel_model import KernelModel
from predictors.kernel_table import KernelTable
from predictors.metrics import error_summary
from predictors.network import MIN_SUBNETS, NetworkModel, fit_network
from predictors.predictor import Predictor

FloatArray = npt.NDArray[np.float64]
EMULATED = "emulated"  # in the first part of a source: `adb-emulated:SERIAL`


def fit_predictor(
    kernels: Mapping[Kernel, float],
    subnets: Mapping[Arch, float],
    space: SearchSpace,
    *,
    device: str,
    source: str,
    rng: np.random.Generator,
) -> Predictor:
    """Fit a predictor.

    Args:
        kernels: milliseconds of single kernels; may be empty where there are subnets.
        subnets: milliseconds of whole subnets of `space`; may be empty, and the price is then
            the plain sum of kernels.
        device, source: as in `Predictor`.
        rng: for fits that draw; the present one does not, its result is the same for any.

    Raises:
        PredictorError: nothing measured, too little of a kind, a latency that is not a positive
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
        model = KernelModel.fit(kernels)
    elif archs:
        model = KernelModel.fit_subnets(lowered, measured)
    else:
        raise PredictorError(f"nothing was measured on {device}; run `evit-profile` first")
    report: dict[str, Any] = {"kernels": len(kernels), "subnets": len(subnets)}
    if kernels:
        names = list(kernels)
        report["kernels_fitted"] = error_summary(
            model.ms(names), [kernels[k] for k in names]
        ).to_dict()
    network, interval = NetworkModel.plain(), Interval.unknown()
    if archs:
        covered = _check_kinds(model, lowered)
        before = np.array([model.ms(ks).sum() for ks in covered])
        network = fit_network(lowered, measured, model.ms)
        interval = Interval.conformal(network.held_out)
        report["subnets_sum_of_kernels"] = error_summary(before, measured).to_dict()
        report["subnets_held_out"] = error_summary(measured / network.held_out, measured).to_dict()
    return Predictor(
        device=device,
        source=source,
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
        subnets: milliseconds; fewer than four say too little and change nothing.
    """
    if len(subnets) < MIN_SUBNETS:
        return predictor
    lowered = [lower(arch, space.layout) for arch in subnets]
    network = fit_network(lowered, np.array(list(subnets.values())), predictor.kernels.ms)
    seen, own = Interval.conformal(network.held_out), predictor.interval
    return replace(
        predictor,
        network=network,
        interval=replace(seen, lower=min(seen.lower, own.lower), upper=max(seen.upper, own.upper)),
        report=predictor.report | {"subnets": len(subnets)},
    )


def _check_kinds(model: KernelModel, lowered: list[tuple[Kernel, ...]]) -> list[tuple[Kernel, ...]]:
    missing = sorted({k.kind for ks in lowered for k in ks} - set(model.kinds))
    if missing:
        raise PredictorError(
            f"whole subnets were measured, but no single kernel of kind {', '.join(missing)}; "
            "measure some of every kind, or none at all"
        )
    return lowered


def refuse_emulated(source: str) -> None:
    """Refuse to learn from an emulated device.

    Raises:
        PredictorError: the source is one.
    """
    if EMULATED in source.partition(":")[0]:
        raise PredictorError(
            f"measurements of {source} come from an emulator: they show that models run, not how "
            "long they take; measure on the device itself"
        )


def table_predictor(kernels: Mapping[Kernel, float], *, device: str, source: str) -> Predictor:
    """A predictor that reads a table of which nobody recorded how it was measured: exact where
    it has a kernel, refused by name where not.

    Raises:
        PredictorError: an empty table, a latency that is not a positive number, or measurements
            of an emulated device.
    """
    refuse_emulated(source)
    table = KernelTable(dict(kernels))
    return Predictor(
        device=device,
        source=source,
        kernels=table,
        report={"kernels": len(kernels), "subnets": 0, "recorded": False},
    )
