"""The HTML report of a profile: what it shows is gathered here, how it looks is
`predictors.report`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.arch import Arch, ArchBatch
from elasticvit.files import write_atomic
from elasticvit.flows.profile_result import DeviceProfile
from elasticvit.kernels import KINDS, Kernel, lower
from elasticvit.page import REPORT_FILE
from elasticvit.published import PUBLISHED
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from lut.dataset import Dataset
    from lut.profile_summary import ProfileSummary
    from lut.store import Store
    from predictors.predictor import Predictor
    from predictors.report import Pair

NOISE_FLOOR = "noise floor: subnets timed twice"


def write_page(
    workspace: Workspace, store: Store, data: Dataset, space: SearchSpace, result: DeviceProfile
) -> Path:
    """Write the report into the folder of the device's predictor; returns its path."""
    from predictors.report import ReportData, render

    predictor, summary, errors = result.predictor, result.summary, dict(result.errors)
    notes = [*result.notes]
    covers = errors.get("subnets", {})
    if "upper_pct" in covers:
        notes.append(
            f"The upper bound holds for {covers['upper_pct']:.0f} % of the held-out subnets; its "
            f"nominal coverage is {covers['upper_nominal_pct']:.0f} %."
        )
    if result.noise_floor is not None:
        errors[NOISE_FLOOR] = result.noise_floor
    content = ReportData(
        device=predictor.name,
        facts=_facts(store, data, summary),
        errors=errors,
        kernels=[
            *_kernels(predictor, data.fit_kernels, False),
            *_kernels(predictor, data.held_kernels, True),
        ],
        subnets=[
            *_subnets(predictor, space, data.fit_subnets, False),
            *_subnets(predictor, space, data.held_subnets, True),
        ],
        breakdown_ms=_breakdown(predictor, space),
        reference=_reference(store, data, summary),
        notes=notes,
    )
    path = result.predictor_folder / REPORT_FILE
    write_atomic(path, render(content))
    return path


def _kernels(predictor: Predictor, measured: Mapping[Kernel, float], held_out: bool) -> list[Pair]:
    from predictors.report import Pair

    kernels = list(measured)
    return [
        Pair(
            name=kernel.key,
            group=kernel.kind,
            held_out=held_out,
            measured_ms=measured[kernel],
            predicted_ms=float(ms),
            mmacs=kernel.macs / 1e6,
        )
        for kernel, ms in zip(kernels, predictor.kernels.ms(kernels), strict=True)
    ]


def _subnets(
    predictor: Predictor, space: SearchSpace, measured: Mapping[Arch, float], held_out: bool
) -> list[Pair]:
    from predictors.report import Pair

    pairs = []
    for arch, ms in measured.items():
        kernels = lower(arch, space.layout)
        pairs.append(
            Pair(
                name=str(arch),
                group="",
                held_out=held_out,
                measured_ms=ms,
                predicted_ms=predictor.subnet_ms(kernels),
                mmacs=sum(kernel.macs for kernel in kernels) / 1e6,
            )
        )
    return pairs


def _breakdown(predictor: Predictor, space: SearchSpace) -> dict[str, dict[str, float]]:
    """Milliseconds by kernel kind of the published architectures that lie in the space, and of
    its smallest and largest one if none does."""
    shown = {
        name.removeprefix("elastic_"): arch
        for name, arch in PUBLISHED.items()
        if space.valid(ArchBatch.of([arch]))[0]
    } or {"smallest": space.smallest, "largest": space.largest}
    rows = {}
    for name, arch in shown.items():
        kernels = lower(arch, space.layout)
        parts = dict.fromkeys(KINDS, 0.0)
        for kernel, ms in zip(kernels, predictor.kernel_ms(kernels), strict=True):
            parts[kernel.kind] += float(ms)
        rows[name] = parts
    return rows


def _facts(store: Store, data: Dataset, summary: ProfileSummary) -> dict[str, str]:
    """What is known of the device and of the conditions of all its measurements."""
    series = data.series
    frame = store.measurements(series.device, series=series)
    interrupted = frame["interrupted_runs"].astype("float64").sum()
    facts = {
        "source": series.source,
        "runtime": f"{series.runtime}, sha256 {series.runtime_hash[:16]}",
        "precision": series.precision,
        "threads": str(series.threads),
        "cores": f"{series.cores} ({', '.join(sorted(frame['cores'].unique()))} in force)",
        "measurements": str(len(frame)),
        "interrupted runs": f"{interrupted:.0f} of {frame['runs'].sum()}",
    }
    for name, unit, label in (("temperature", "c", "°C"), ("frequency", "mhz", "MHz")):
        values = frame[[f"{name}_before_{unit}", f"{name}_after_{unit}"]].stack().dropna()
        facts[name] = (
            f"{values.min():.0f} to {values.max():.0f} {label}" if len(values) else "not reported"
        )
    return facts | {name: _text(value) for name, value in summary.info.facts.items()}


def _text(value: object) -> str:
    """A fact for people, whatever its form."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_text(part) for part in value)
    return "not reported" if value is None else str(value)


def _reference(
    store: Store, data: Dataset, summary: ProfileSummary
) -> dict[str, list[tuple[float, float]]]:
    """Minutes of profiling and milliseconds of the reference subnet, as measured and, if there
    are calibration models, corrected for background load; pauses between runs are cut."""
    frame = store.measurements(data.series.device, kind="subnet", series=data.series)
    frame = frame[frame["key"] == summary.reference]
    steps = frame["time_s"].diff().fillna(0.0).clip(upper=120.0)
    minutes = steps.cumsum() / 60
    series = {"median of each round": list(zip(minutes, frame["median_ms"], strict=True))}
    if frame["calibration_us"].notna().any():
        steady = list(zip(minutes, frame["steady_ms"], strict=True))
        series["corrected for background load"] = steady
    return series
