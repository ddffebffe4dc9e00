"""The profiled devices of a workspace: what `status` tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.cpu_setting import DEFAULT_CPU, CpuSetting, matching_settings
from elasticvit.errors import EvitError
from elasticvit.flows.status_parts import Damages, folders
from elasticvit.flows.status_result import (
    DeviceStatus,
)
from elasticvit.precisions import FP32, PRECISIONS
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from predictors.predictor import Predictor

Kind = tuple[str, str, CpuSetting | None]  # device, precision, threads and cores of latencies


def device_statuses(
    workspace: Workspace, latest: str | None, damages: Damages
) -> list[DeviceStatus]:
    """The devices of the latency table and of the predictors in each precision and with each number
    of threads, by name."""
    from lut.contents import SeriesContent, contents

    series: dict[Kind, SeriesContent] = {}
    if workspace.lut_path.exists():
        with damages.of(workspace.lut_path):
            for content in contents(workspace.lut_path):
                # the latest of a device comes first
                series.setdefault((content.device, content.precision, content.cpu), content)
    predictors = _predictors(workspace, damages)
    known = sorted(series.keys() | predictors.keys(), key=_by_name)
    default = _default(workspace, latest, [one for one in known if one in predictors] or known)
    statuses = []
    for one in known:
        (name, precision, cpu), measured, predictor = one, series.get(one), predictors.get(one)
        source = None if predictor is None else predictor.source
        if measured is not None:
            source = measured.source
        statuses.append(
            DeviceStatus(
                name=name,
                precision=precision,
                threads=None if cpu is None else cpu.threads,
                cores=None if cpu is None else cpu.cores,
                source=source,
                kernels=0 if measured is None else measured.kernels,
                subnets=0 if measured is None else measured.subnets,
                measured_s=None if measured is None else measured.measured_s,
                predictor=predictor is not None,
                error_pct=None if predictor is None else _error_pct(predictor),
                latest=one == default,
            )
        )
    return statuses


def _by_name(one: Kind) -> tuple[str, int, bool, CpuSetting]:
    """Key that orders devices by name, and each one's precisions from fp32 on, by threads."""
    name, precision, cpu = one
    return name, PRECISIONS.index(precision), cpu is not None, cpu or DEFAULT_CPU


def _default(workspace: Workspace, latest: str | None, known: Sequence[Kind]) -> Kind | None:
    """Which of the known latencies searches use by default; None if there are none."""
    if latest is None:
        return None
    try:
        precision, last = workspace.precision(latest), workspace.cpu_setting(latest)
    except EvitError:  # damaged settings are told elsewhere
        precision, last = FP32, None
    own = [cpu for name, of, cpu in known if (name, of) == (latest, precision)]
    return (latest, precision, matching_settings(own, last)[0]) if own else None


def _predictors(workspace: Workspace, damages: Damages) -> dict[Kind, Predictor]:
    """The predictors by device, precision, and threads with cores."""
    from predictors.predictor import load_predictor
    from predictors.workspace_predictors import predictor_folders

    found: dict[Kind, Predictor] = {}
    for folder in folders(workspace.predictors_path, damages):
        places: dict[Kind, Path] = {}
        with damages.of(folder):
            for precision in PRECISIONS:
                own = predictor_folders(workspace, folder.name, precision)
                places |= {(folder.name, precision, cpu): path for cpu, path in own.items()}
        # a folder without any is a damaged one
        for kind, place in (places or {(folder.name, FP32, None): folder}).items():
            with damages.of(place):
                found[kind] = load_predictor(place)
    return found


def _error_pct(predictor: Predictor) -> float | None:
    """The error of a predictor on whole subnets, each predicted by a fit that did not see it."""
    errors = predictor.report.subnets_held_out
    return None if errors is None else errors.rmspe_pct
