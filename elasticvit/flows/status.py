"""What a workspace holds, what in it is damaged, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from elasticvit.errors import EvitError, NextStep
from elasticvit.flows.settings import WorkspaceLike, workspace_of
from elasticvit.flows.single_run import export_step, is_single
from elasticvit.flows.status_again import (
    profile_again,
    search_again,
    target_settings,
    train_again,
)
from elasticvit.flows.status_devices import device_statuses
from elasticvit.flows.status_parts import Damages, export_statuses, run_statuses
from elasticvit.flows.status_result import (
    Damage,
    DeviceStatus,
    ExportStatus,
    RunStatus,
    SearchStatus,
    Target,
    TimingStatus,
    WorkspaceStatus,
)
from elasticvit.flows.status_searches import search_statuses
from elasticvit.flows.status_timings import timing_statuses
from elasticvit.workspace import FOLDER, SETTINGS, Workspace
from elasticvit.workspace_settings import WorkspaceSettings

__all__ = [
    "Damage",
    "DeviceStatus",
    "ExportStatus",
    "RunStatus",
    "SearchStatus",
    "Target",
    "TimingStatus",
    "WorkspaceStatus",
    "status",
]


def status(workspace: WorkspaceLike = None) -> WorkspaceStatus:
    """Look through a workspace. Nothing is written, and torch is not loaded.

    A piece that cannot be read is named in `WorkspaceStatus.damaged`; the others are told anyway.

    Args:
        workspace: Workspace or its folder; by default `.evit` in the current folder. It need not
            exist.

    Raises:
        WorkspaceError: The folder holds something else.
    """
    damages = Damages()
    here, settings = _opened(workspace, damages)
    last = None if settings is None else settings.device
    devices = device_statuses(here, last, damages)
    runs = run_statuses(here, _latest(here, "run"), damages)
    searches = search_statuses(here, _latest(here, "search"), damages)
    exports = export_statuses(here, _latest(here, "export"), damages)
    timings = timing_statuses(here, damages)
    if settings is None:
        reason, step = f"{here.settings_path} is damaged; mend it first", NextStep("status")
        settings = WorkspaceSettings()
    else:
        reason, step = _next(here, devices, runs, searches, exports)
    return WorkspaceStatus(
        root=here.root,
        space=settings.space,
        data=settings.data,
        devices=devices,
        runs=runs,
        searches=searches,
        exports=exports,
        timings=timings,
        damaged=damages.found,
        reason=reason,
        next_step=step,
    )


def _opened(
    workspace: WorkspaceLike, damages: Damages
) -> tuple[Workspace, WorkspaceSettings | None]:
    """The workspace and its settings; None for settings that are damaged."""
    try:
        here = workspace_of(workspace)
        return here, here.settings()
    except EvitError as error:
        root = workspace.root if isinstance(workspace, Workspace) else Path(workspace or FOLDER)
        if not (root / SETTINGS).is_file():
            raise
        damages.found.append(Damage(path=root / SETTINGS, problem=str(error)))
        return Workspace(root), None


def _latest(workspace: Workspace, kind: str) -> Path | None:
    """The latest folder of a kind; None if there is none, or it is gone."""
    try:
        return workspace.latest(kind)
    except EvitError:
        return None


def _next(
    workspace: Workspace,
    devices: Sequence[DeviceStatus],
    runs: Sequence[RunStatus],
    searches: Sequence[SearchStatus],
    exports: Sequence[ExportStatus],
) -> tuple[str, NextStep]:
    """What to do next, and why."""
    open_search = searches[-1] if searches and not searches[-1].finished else None
    run = next((run for run in runs if run.latest and run.finished), None)
    busy = next((run for run in reversed(runs) if run.process is not None), None)
    open_run = next((run for run in reversed(runs) if not run.finished), None)
    if run is None and busy is not None:
        reason = f"training run {busy.folder} is trained by process {busy.process}; wait for it"
        return reason, NextStep("status")
    if open_search is not None and (run is not None or not _waits(open_search, open_run)):
        if open_search.process is not None:
            process = open_search.process
            reason = f"search {open_search.folder} is under way in process {process}; wait for it"
            return reason, NextStep("status")
        reason = f"search {open_search.folder} was interrupted"
        return reason, search_again(workspace, open_search, runs)
    if run is None and open_run is not None:
        reason = f"training run {open_run.folder} was interrupted"
        return reason, train_again(open_run)
    if run is not None and is_single(run.folder):
        if not any(Path(one.run or "").name == run.folder.name for one in exports):
            reason = f"training run {run.folder} is of one architecture, which needs no search"
            return reason, export_step(run.folder)
        return f"the one architecture of {run.folder} is exported", NextStep("train")
    search = next((one for one in searches if one.latest), None)
    profiled = any(device.predictor for device in devices)
    # of a supernet from elsewhere, or without a latency
    outside = search is not None and search.accuracy is not None and (run is None or not profiled)
    if search is not None and outside and not _is_exported(search, exports):
        return _export(search)
    if not profiled:
        return profile_again(workspace, devices)
    if run is None:
        return "no training run is finished yet", NextStep("train")
    if search is None:
        reason = "no search is finished yet"
        return reason, NextStep("search", {"target_ms": _suggested_ms(workspace, run)})
    if search.run is not None and Path(search.run).name != run.folder.name:
        reason = f"the latest training run {run.folder} was not searched yet"
        return reason, NextStep("search", target_settings(search))
    if not _is_exported(search, exports):
        return _export(search)
    return (
        "the latest search is exported; search again for another target",
        NextStep("search", {"target_ms": _suggested_ms(workspace, run)}),
    )


def _is_exported(search: SearchStatus, exports: Sequence[ExportStatus]) -> bool:
    return any(Path(one.search or "").name == search.folder.name for one in exports)


def _export(search: SearchStatus) -> tuple[str, NextStep]:
    return f"search {search.folder} is not exported yet", NextStep("export", {"format": "tflite"})


def _waits(search: SearchStatus, open_run: RunStatus | None) -> bool:
    """Whether an interrupted search waits for a training that goes on: of another run than it
    searches, or of one that an earlier version does not tell."""
    asked = search.asked or {}
    if "supernet" in asked:
        return False
    return open_run is None or Path(asked.get("run", "")).name != open_run.folder.name


def _suggested_ms(workspace: Workspace, run: RunStatus) -> str:
    """A target latency that makes sense for a run; `N` if none can be suggested."""
    from elasticvit.flows.train_summary import suggested_target_ms
    from elasticvit.training.run_info import RunInfo

    suggested = suggested_target_ms(workspace, RunInfo.load(run.folder).space)
    return "N" if suggested is None else f"{suggested:g}"
