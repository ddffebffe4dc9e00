"""`predictor.json`: what stands in the file of a saved predictor."""

from __future__ import annotations

import msgspec

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import NextStep, PredictorError
from elasticvit.precisions import FP32, Precision
from elasticvit.reading import Format
from predictors.fit_report import FitReport
from predictors.interval import Interval
from predictors.kernel_regressors import RegressorState
from predictors.kernel_table import TableState
from predictors.network_correction import NetworkState
from predictors.saved import SCHEMA, ArrayFile


class PredictorFile(msgspec.Struct, frozen=True, kw_only=True):
    """A saved predictor, but for its arrays; see `predictors.predictor.Predictor`."""

    device: str
    source: str
    precision: Precision = FP32
    cpu: CpuSetting | None = None
    kernels: RegressorState | TableState
    network: NetworkState
    interval: Interval
    report: FitReport
    arrays: ArrayFile


PREDICTOR_FORMAT = Format(
    kind=PredictorFile,
    what="a predictor",
    error=PredictorError,
    mend="profile the device again, or copy the folder anew",
    next_step=NextStep("profile"),
    schema=SCHEMA,
    sealed=True,
)
