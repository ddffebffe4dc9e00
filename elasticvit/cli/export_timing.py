"""The exported file timed on a device, beside what the search predicted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from elasticvit.errors import ArchError, ExportError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from devices.protocol import Measurement, TimedModel
    from elasticvit.kernels import Layout
    from elasticvit.search.result import SearchResult
    from export.backend import Backend
    from export.bundle import Timing
    from lut.store import Series

ROUNDS = 15
ROUND_MS = 160.0


def time_export(
    folder: Workspace,
    backend: Backend,
    data: bytes,
    layout: Layout,
    result: SearchResult,
    device: str | None,
) -> tuple[Timing | None, str | None]:
    """The file timed as the device's latency table was: same threads and cores, brought to the
    speed of that table by its gauges. Or None, and why not.

    Raises:
        DeviceError: the device does not answer.
        ExportError: its runtime refuses the model.
    """
    if not backend.tflite:
        return None, f"devices time TFLite models, this one is {backend.name}"
    from devices import Rejected, TimedModel, TimingConfig, open_device

    name = device or result.device or folder.settings().get("device") or "host"
    series, table = _table(folder, name)
    config = TimingConfig(rounds=ROUNDS, min_ms=ROUND_MS, max_runs=2000)
    if series is not None and table is not None:
        gauges = _gauges(table, layout)
        config = replace(config, threads=series.threads, cores=series.cores, gauges=gauges)
    rounds: list[Measurement] = []
    with open_device(name, folder) as opened:
        for answer in opened.measure([TimedModel("export", data)], config):
            if isinstance(answer, Rejected):
                raise ExportError(
                    f"{opened.info.name} ({opened.info.runtime}) refuses the model: "
                    f"{answer.reason}; try another --format"
                )
            rounds.append(answer)
    return _timing(name, rounds, table, result), None


def _table(folder: Workspace, device: str) -> tuple[Series | None, pd.DataFrame | None]:
    """The device's own measurements; none where there are only imported ones."""
    if not folder.lut_path.exists():
        return None, None
    from lut.store import Store

    with Store(folder.lut_path) as store:
        own = [s for s in store.series(device) if not s.imported]
        return (own[0], store.measurements(device, series=own[0])) if own else (None, None)


def _gauges(table: pd.DataFrame, layout: Layout) -> tuple[TimedModel, ...]:
    from devices import TimedModel
    from export.kernel_models import kernel_model
    from lut.gauges import table_gauges

    try:
        gauges = table_gauges(table, layout)
    except ArchError:  # a table of another space
        return ()
    return tuple(TimedModel(key, kernel_model(kernels)) for key, kernels in gauges.items())


def _timing(
    name: str, rounds: list[Measurement], table: pd.DataFrame | None, result: SearchResult
) -> Timing:
    import statistics

    from export.bundle import Timing
    from lut.estimate import ESTIMATOR, latency_ms, round_ms
    from lut.gauges import steady_rounds

    medians = [m.latency_ms for m in rounds]
    predicted = upper = target = None
    for cap in result.caps:
        if cap.device == name and cap.unit == "ms":
            predicted, upper, target = cap.predicted, cap.upper, cap.target
    if predicted is None and name == result.device:
        predicted, upper = result.predicted_ms, result.upper_ms
    first, steady = rounds[0], [round_ms(m.samples_us) for m in rounds]
    if table is not None and first.gauges_us:
        steady = list(steady_rounds(table, rounds))
    return Timing(
        device=name,
        source=first.source,
        runtime=first.runtime,
        threads=first.threads,
        cores=first.cores,
        measured_ms=latency_ms(steady),
        estimator=f"{ESTIMATOR}, at the latency table's speed" if first.gauges_us else ESTIMATOR,
        median_ms=statistics.median(us for m in rounds for us in m.samples_us) / 1e3,
        low_ms=min(medians),
        high_ms=max(medians),
        rounds=len(rounds),
        runs=sum(len(m.samples_us) for m in rounds),
        predicted_ms=predicted,
        upper_ms=upper,
        target_ms=target,
    )
