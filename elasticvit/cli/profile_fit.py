"""The predictor of a profiled device: fitted, judged on what it never saw, saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from lut.dataset import Dataset
    from predictors.predictor import Predictor

KERNELS = "kernels"
SUMS = "subnets, as sums of kernels"
SUBNETS = "subnets"
Errors = Mapping[str, Mapping[str, float]]


def fit(
    folder: Workspace,
    name: str,
    data: Dataset,
    space: SearchSpace,
    learn: Callable[[str, Dataset], Predictor] | None = None,
) -> tuple[Predictor, dict[str, dict[str, float]]]:
    """Fit and save the predictor, make the device the default; errors on what is held out.

    An imported block table is looked up as it is, and nothing is held out of it.

    Args:
        learn: makes the predictor where it does not follow from the device's own data alone.
    """
    import numpy as np

    from predictors.fit import fit_predictor, table_predictor

    source = data.series.source
    if learn is not None:
        predictor = learn(name, data)
        errors = held_out_errors(predictor, data, space)
    elif data.series.recorded:
        predictor = fit_predictor(
            data.fit_kernels,
            data.fit_subnets,
            space,
            device=name,
            source=source,
            rng=np.random.default_rng(0),
        )
        errors = held_out_errors(predictor, data, space)
    else:
        kernels = data.fit_kernels | data.held_kernels
        predictor, errors = table_predictor(kernels, device=name, source=source), {}
    predictor.save(folder.predictor_path(name))
    folder.update({"device": name})
    return predictor, errors


def held_out_errors(
    predictor: Predictor, data: Dataset, space: SearchSpace
) -> dict[str, dict[str, float]]:
    """Errors in percent on what was never fitted or chosen by: kernels on their own, and whole
    subnets before and after the network model."""
    from elasticvit.kernels import lower
    from predictors.metrics import error_summary

    errors = {}
    if data.held_kernels:
        kernels = list(data.held_kernels)
        measured = list(data.held_kernels.values())
        errors[KERNELS] = error_summary(predictor.kernels.ms(kernels), measured).to_dict()
    if data.held_subnets:
        lowered = [lower(arch, space.layout) for arch in data.held_subnets]
        measured = list(data.held_subnets.values())
        sums = [float(predictor.kernels.ms(kernels).sum()) for kernels in lowered]
        # not `predict_ms`: the errors of a profile that was cut short are to be seen, too
        predicted = [
            float(predictor.kernel_ms(kernels).sum()) + predictor.network.subnet_ms
            for kernels in lowered
        ]
        errors[SUMS] = error_summary(sums, measured).to_dict()
        covers = {k: v for k, v in predictor.interval.covers(predicted, measured).items() if v}
        errors[SUBNETS] = error_summary(predicted, measured).to_dict() | covers
    return errors
