"""The HTML report of a profile: what it shows is gathered here, how it looks is `lut.report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.cli.profile_fit import Errors
from elasticvit.cli.profile_report import TWICE, noise_floor
from elasticvit.workspace import Workspace, write_atomic

if TYPE_CHECKING:
    from elasticvit.arch import Arch
    from elasticvit.kernels import Kernel
    from elasticvit.space import SearchSpace
    from lut.dataset import Dataset
    from lut.profile import ProfileSummary
    from lut.report import Pair
    from lut.store import Store
    from predictors.predictor import Predictor

PAGE = "report.html"


def write_page(
    folder: Workspace,
    store: Store,
    data: Dataset,
    predictor: Predictor,
    space: SearchSpace,
    summary: ProfileSummary,
    errors: Errors,
    notes: Sequence[str],
) -> Path:
    """Write the report beside the device's predictor.

    Args:
        notes: sentences to end with.
    """
    from lut.report import ReportData, render

    floor = noise_floor(summary)
    kernels = [
        *_kernels(predictor, data.fit_kernels, False),
        *_kernels(predictor, data.held_kernels, True),
    ]
    subnets = [
        *_subnets(predictor, space, data.fit_subnets, False),
        *_subnets(predictor, space, data.held_subnets, True),
    ]
    notes = [*notes]
    if "upper_pct" in errors.get("subnets", {}):
        covers = errors["subnets"]
        notes.append(
            f"The upper bound holds for {covers['upper_pct']:.0f} % of the held-out subnets; it "
            f"is meant to for {covers['upper_nominal_pct']:.0f} %."
        )
    content = ReportData(
        device=summary.info.name,
        facts=_facts(store, data, summary),
        errors=errors if floor is None else {**errors, TWICE: floor},
        kernels=kernels,
        subnets=subnets,
        breakdown_ms=_breakdown(predictor, space),
        reference=_reference(store, data, summary),
        notes=notes,
    )
    path = folder.predictor_path(summary.info.name) / PAGE
    write_atomic(path, render(content))
    return path


def _kernels(predictor: Predictor, measured: Mapping[Kernel, float], held_out: bool) -> list[Pair]:
    from lut.report import Pair

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
    from elasticvit.kernels import lower
    from lut.report import Pair

    pairs = []
    for arch, ms in measured.items():
        kernels = lower(arch, space.layout)
        pairs.append(
            Pair(
                name=str(arch),
                group="",
                held_out=held_out,
                measured_ms=ms,
                predicted_ms=float(predictor.kernel_ms(kernels).sum())
                + predictor.network.subnet_ms,
                mmacs=sum(kernel.macs for kernel in kernels) / 1e6,
            )
        )
    return pairs


def _breakdown(predictor: Predictor, space: SearchSpace) -> dict[str, dict[str, float]]:
    """Milliseconds by kind of the published architectures that lie in the space, and of its
    smallest and largest one where none does."""
    from elasticvit.arch import ArchBatch
    from elasticvit.kernels import KINDS, lower
    from elasticvit.published import PUBLISHED

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
    facts = {
        "source": series.source,
        "runtime": f"{series.runtime}, sha256 {series.runtime_hash[:16]}",
        "threads": str(series.threads),
        "cores": f"{series.cores} ({', '.join(sorted(frame['cores'].unique()))} in force)",
        "measurements": str(len(frame)),
        "interrupted runs": f"{frame['interrupted_runs'].astype('float64').sum():.0f} of "
        f"{frame['runs'].sum()}",
    }
    for name, unit in (("temperature", "c"), ("frequency", "mhz")):
        values = frame[[f"{name}_before_{unit}", f"{name}_after_{unit}"]].stack().dropna()
        label = {"c": "°C", "mhz": "MHz"}[unit]
        facts[name] = (
            f"{values.min():.0f} to {values.max():.0f} {label}" if len(values) else "not told"
        )
    return facts | {name: _text(value) for name, value in summary.info.facts.items()}


def _text(value: object) -> str:
    """A fact for people, whatever its form."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_text(part) for part in value)
    return "not told" if value is None else str(value)


def _reference(
    store: Store, data: Dataset, summary: ProfileSummary
) -> dict[str, list[tuple[float, float]]]:
    """Minutes of profiling and milliseconds of the reference, as measured and, where gauges tell
    the device's speed, as they would be at a steady one; pauses between runs are cut."""
    frame = store.measurements(data.series.device, kind="subnet", series=data.series)
    frame = frame[frame["key"] == summary.reference]
    steps = frame["time_s"].diff().fillna(0.0).clip(upper=120.0)
    minutes = steps.cumsum() / 60
    series = {"median of each round": list(zip(minutes, frame["median_ms"], strict=True))}
    if frame["gauges"].notna().any():
        steady = list(zip(minutes, frame["steady_ms"], strict=True))
        series["at the device's steady speed, by the gauges"] = steady
    return series
