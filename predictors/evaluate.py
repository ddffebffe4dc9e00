"""A predictor from a data set, and its errors on what is held out; no workspace, no files."""

from __future__ import annotations

from elasticvit.kernels import lower
from elasticvit.space import SearchSpace
from lut.dataset import Dataset
from predictors.fit import fit_predictor, table_predictor
from predictors.metrics import error_summary
from predictors.network_correction import priced
from predictors.predictor import Predictor

KERNELS = "kernels"
SUMS = "subnets, as sums of kernels"
SUBNETS = "subnets"
Errors = dict[str, dict[str, float]]  # figures of `error_summary`, by what was predicted


def fit_dataset(dataset: Dataset, space: SearchSpace, device: str) -> Predictor:
    """The predictor of a device from its measurements to fit with.

    A table of which nobody recorded how it was measured is looked up as it is, and nothing is held
    out of it.

    Raises:
        PredictorError: Too little was measured, or by an emulated device.
    """
    source, precision = dataset.series.source, dataset.series.precision
    if not dataset.series.recorded:
        kernels = dataset.fit_kernels | dataset.held_kernels
        return table_predictor(kernels, device=device, source=source, precision=precision)
    return fit_predictor(
        dataset.fit_kernels,
        dataset.fit_subnets,
        space,
        device=device,
        source=source,
        precision=precision,
        cpu=dataset.series.cpu,
    )


def held_out_errors(predictor: Predictor, dataset: Dataset, space: SearchSpace) -> Errors:
    """Errors on the held-out measurements, in percent: of kernels on their own (`KERNELS`), and of
    whole subnets before and after the network correction (`SUMS`, `SUBNETS`).

    Whatever has no held-out measurements is left out, and so are subnets with a kernel that the
    predictor has no latency of, and everything of a table that is looked up as it is.
    """
    errors: Errors = {}
    if not dataset.series.recorded:
        return errors
    if dataset.held_kernels:
        kernels = list(dataset.held_kernels)
        measured = list(dataset.held_kernels.values())
        errors[KERNELS] = error_summary(predictor.kernels.ms(kernels), measured).to_dict()
    every = [lower(arch, space.layout) for arch in dataset.held_subnets]
    lowered, times = priced(every, dataset.held_subnets.values(), predictor.kernels.ms)
    if lowered:
        measured = times.tolist()
        sums = [float(predictor.kernels.ms(kernels).sum()) for kernels in lowered]
        # unchecked: the errors of a profile that was cut short are to be seen, too
        predicted = [predictor.subnet_ms(kernels) for kernels in lowered]
        errors[SUMS] = error_summary(sums, measured).to_dict()
        covers = {k: v for k, v in predictor.interval.covers(predicted, measured).items() if v}
        errors[SUBNETS] = error_summary(predicted, measured).to_dict() | covers
    return errors
