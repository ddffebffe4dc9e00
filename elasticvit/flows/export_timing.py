"""The exported file timed on a device, beside what the search predicted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devices import Measurement, Rejected, TimedModel, TimingConfig, open_device
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import ArchError, DeviceError, ExportError
from elasticvit.flows.export_search import Prediction
from elasticvit.kernels import Layout
from elasticvit.names import HOST
from elasticvit.precisions import FP32
from elasticvit.space import PRESETS
from elasticvit.workspace import Workspace
from export.card_parts import ExportTiming
from export.fresh_run import FreshSamples
from export.precise_kernels import kernel_models_in
from lut.calibration import steady_rounds, table_calibration_models
from lut.estimate import ESTIMATOR, latency_ms, round_ms
from lut.series import Series
from lut.series_choice import choose_series
from lut.store import Store

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 15
ROUND_MS = 160.0
MAX_RUNS = 2000
KEY = "export"


def time_export(
    workspace: Workspace | None,
    device: str,
    data: bytes,
    layout: Layout | None,
    prediction: Prediction | None,
    precision: str = FP32,
) -> ExportTiming:
    """Latency of a TFLite file, measured as the device's latency table was: on the same threads
    and cores (those of the prediction, or else of the latest profile), brought to the speed of that
    table by its calibration models.

    Args:
        workspace: Workspace with the latency table and the user's devices; None for none.
        device: Name of the device.
        data: Content of the TFLite file.
        layout: Layout of the search space; None if the model is of none.
        prediction: Predicted latency on this device; None if there is none.
        precision: Precision of the file. A table of another one gives threads and cores alone.

    Raises:
        DeviceError: The device is unknown, does not answer or gives no measurement.
        ExportError: The device's runtime refuses the model.
    """
    cpu = None if prediction is None else prediction.cpu
    series, table = _table(workspace, device, precision, cpu)
    config = TimingConfig(rounds=ROUNDS, min_ms=ROUND_MS, max_runs=MAX_RUNS)
    setting = cpu if cpu is not None or series is None else series.cpu
    if setting is not None:
        config = replace(config, threads=setting.threads, cores=setting.cores)
    if table is not None:
        models = _calibration_models(table, layout, precision)
        config = replace(config, calibration_models=models)
    rounds: list[Measurement] = []
    with open_device(device, workspace) as opened:
        for answer in opened.measure([TimedModel(KEY, data)], config):
            if isinstance(answer, Rejected):
                raise ExportError(
                    f"{opened.info.name} ({opened.info.runtime}) refuses the model: "
                    f"{answer.reason}; try another format",
                    settings=["format"],
                )
            rounds.append(answer)
    if not rounds:
        raise DeviceError(
            f"device {device} gave no measurement of the model; look whether it is busy or locked, "
            "then repeat this",
            settings=["device"],
        )
    return _timing(device, rounds, table, prediction)


def time_here(samples: FreshSamples) -> ExportTiming:
    """Latency of a file that no device times, by its runs in fresh processes of this computer.

    It has no prediction beside it: what a search predicts is the latency of TFLite files.

    Args:
        samples: The runs.
    """
    run = samples.run
    return ExportTiming(
        device=HOST,
        source=f"{HOST}:{run.computer}",
        runtime=run.runtime,
        threads=run.threads,
        cores="any",
        measured_ms=latency_ms([round_ms(runs) for runs in samples.samples_us]),
        estimator=ESTIMATOR,
        median_ms=run.steady_ms,
        low_ms=run.low_ms,
        high_ms=run.high_ms,
        rounds=run.processes,
        runs=run.runs,
    )


def is_imported(workspace: Workspace | None, device: str) -> bool:
    """Whether all latencies of a device in a workspace were imported, not measured by it."""
    if workspace is None or not workspace.lut_path.exists():
        return False
    with Store(workspace.lut_path, read_only=True) as store:
        series = store.series(device)
    return bool(series) and all(one.imported for one in series)


def measurable_device(workspace: Workspace) -> str:
    """The device that was profiled last; this computer where there is none, or where its latencies
    were imported, so that it cannot be timed here."""
    last = workspace.device()
    return HOST if last is None or is_imported(workspace, last) else last


def _table(
    workspace: Workspace | None, device: str, precision: str, cpu: CpuSetting | None
) -> tuple[Series | None, pd.DataFrame | None]:
    """The series of the device's own measurements, in a precision if there is one and with the same
    threads and cores, and these; None if there are none, or only imported ones, or only of another
    precision."""
    if workspace is None or not workspace.lut_path.exists():
        return None, None
    with Store(workspace.lut_path, read_only=True) as store:
        own = [s for s in store.series(device) if not s.imported]
        last = cpu or workspace.cpu_setting(device)
        series = choose_series([s for s in own if s.precision == precision], last)
        if series is not None and cpu in (None, series.cpu):
            return series, store.measurements(device, series=series)
        return choose_series(own, last), None


def _calibration_models(
    table: pd.DataFrame, layout: Layout | None, precision: str
) -> tuple[TimedModel, ...]:
    """The models that the table was last calibrated by; none if it is of another space. Without a
    layout those of the presets are tried."""
    layouts = [space.layout for space in PRESETS.values()] if layout is None else [layout]
    try:
        models = table_calibration_models(table, *layouts)
    except ArchError:
        return ()
    made = kernel_models_in(precision)
    return tuple(TimedModel(key, made(chain)) for key, chain in models.items())


def _timing(
    device: str,
    rounds: Sequence[Measurement],
    table: pd.DataFrame | None,
    prediction: Prediction | None,
) -> ExportTiming:
    first, medians_ms = rounds[0], [m.median_ms for m in rounds]
    calibrated = table is not None and bool(first.calibration_us)
    steady_ms = [round_ms(m.samples_us) for m in rounds]
    if table is not None and calibrated:
        steady_ms = list(steady_rounds(table, rounds))
    return ExportTiming(
        device=device,
        source=first.source,
        runtime=first.runtime,
        threads=first.threads,
        cores=first.cores,
        measured_ms=latency_ms(steady_ms),
        estimator=f"{ESTIMATOR}, at the latency table's speed" if calibrated else ESTIMATOR,
        median_ms=statistics.median(us for m in rounds for us in m.samples_us) / 1e3,
        low_ms=min(medians_ms),
        high_ms=max(medians_ms),
        rounds=len(rounds),
        runs=sum(m.run_count for m in rounds),
        predicted_ms=None if prediction is None else prediction.predicted_ms,
        upper_ms=None if prediction is None else prediction.upper_ms,
        target_ms=None if prediction is None else prediction.target_ms,
    )
