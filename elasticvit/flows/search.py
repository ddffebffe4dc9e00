"""Search: the most accurate architecture of a trained supernet under latency caps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import PredictorError, SettingError, WorkspaceError
from elasticvit.events import EventHandler, Notice, ignore
from elasticvit.flows.search_caps import no_target, resolve_caps, shown_latency
from elasticvit.flows.search_events import CapsResolved, SearchPlanned
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.flows.settings import WorkspaceLike, settings_of, workspace_of
from elasticvit.flows.torch_threads import torch_threads
from elasticvit.searching.result import RESULT_FILE, SUBNET_FILE, FrontPoint, SearchResult
from elasticvit.searching.state import STATE_FILE
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.nn.subnet import Subnet

__all__ = ["FrontPoint", "SearchOutcome", "SearchResult", "SearchSettings", "search"]


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """A finished search.

    Attributes:
        folder: Folder of the search, with `search.json`, `front.csv`, the front as a picture and
            the chosen subnet.
        result: What was found.
    """

    folder: Path
    result: SearchResult

    def subnet(self) -> Subnet:
        """The chosen subnet with its recalibrated weights, on the CPU in evaluation mode.

        Raises:
            CheckpointError: the file is gone or damaged.
        """
        from elasticvit.nn.subnet import Subnet

        return Subnet.load(self.folder / SUBNET_FILE)


def search(
    settings: SearchSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> SearchOutcome:
    """Find the most accurate architecture that keeps the caps, and cut it out of the supernet.

    Space and data set are those of the training run. A search that was interrupted is resumed when
    called with the same settings, and ends with the same result. A search that fails before it has
    evaluated anything leaves no folder.

    Args:
        settings: What to search for; defaults if left out.
        workspace: Workspace or its folder; `.evit` by default. Nothing is taken from it if the
            settings name a run and predictors, and nothing is written to it if they name `out`.
        events: Receives `CapsResolved`, `SearchPlanned`, `SearchProgress` after every few
            architectures, and a `Notice` for the finalists and the test; what it raises ends the
            search.
        changes: Single settings by name, such as `target_ms=30`.

    Raises:
        SettingError: settings that make no sense.
        TargetError: no target, or one that no architecture keeps; the message says what the space
            can do.
        WorkspaceError: there is no training run, or no profiled device.
        PredictorError: a device has no predictor, or it cannot price the space.
        CheckpointError: the run, or the interrupted search, cannot be read.
    """
    started_s = time.monotonic()
    chosen = settings_of(SearchSettings, settings, changes)
    here = workspace_of(workspace)
    out = _checked_out(chosen)
    run = _run_folder(chosen, here)

    from elasticvit.training.checkpoint import RunInfo

    info = RunInfo.load(run)
    problem = resolve_caps(chosen, here, info.space)
    events(CapsResolved(space=info.space.name, caps=problem.caps))
    try:
        latency = shown_latency(chosen, here, info.space, problem.caps)
    except PredictorError as error:
        latency = None
        events(Notice(text=f"the result shows no latency: {error}", warning=True))

    from elasticvit.searching.job import SearchJob
    from elasticvit.training.checkpoint import load_supernet
    from elasticvit.training.data import open_data

    torch_device = _checked_torch_device(chosen.torch_device)
    with torch_threads(chosen.threads):
        job = SearchJob(
            load_supernet(run),
            open_data(info.data),
            [resolved.cap for resolved in problem.caps],
            seed=chosen.seed,
            run=str(run),
            latency=latency,
            feasible=problem.feasible,
            torch_device=torch_device,
        )
        asked = [chosen.population, chosen.generations, chosen.budget_minutes]
        found = job.unfinished(here.folders("search") if out is None else [out], asked)
        config = None if found is None else found[1]
        plan = job.plan(
            population=chosen.population if config is None else config.population,
            generations=chosen.generations if config is None else config.generations,
            budget_s=_seconds_left(chosen.budget_minutes, started_s),
        )
        events(
            SearchPlanned(
                plan=plan,
                recalibration_images=job.quick.sizes.recalibration_images,
                search_images=job.quick.sizes.search_images,
                resumes=None if found is None else found[0],
            )
        )
        folder = found[0] if found is not None else out or here.new_folder("search")
        ends_s = time.monotonic() + (math.inf if plan.deadline_s is None else plan.deadline_s)
        with here.nothing_left_behind(folder, keep=STATE_FILE):
            result = job.run(
                folder,
                plan.config,
                finalist_count=plan.finalists,
                asked=asked,
                events=events,
                stop=lambda: time.monotonic() > ends_s,
            )
    if out is None:
        here.set_latest("search", folder)
    return SearchOutcome(folder=folder, result=result)


def _run_folder(settings: SearchSettings, workspace: Workspace) -> Path:
    """Folder of the training run.

    Raises:
        TargetError: there is none, and no target either; what the space can do comes first.
        WorkspaceError: there is none.
    """
    if settings.run is not None:
        return Path(settings.run)
    try:
        return workspace.latest("run")
    except WorkspaceError as error:
        if settings.has_target or workspace.settings().space is None:
            raise
        raise no_target(settings, workspace, workspace.space()) from error


def _checked_out(settings: SearchSettings) -> Path | None:
    """The folder for the result.

    Raises:
        SettingError: it holds a finished search, or anything but an interrupted one.
    """
    if settings.out is None:
        return None
    out = Path(settings.out)
    if (out / RESULT_FILE).exists():
        raise SettingError(f"{out} holds a finished search; name another folder", settings=["out"])
    if out.exists() and not (
        (out / STATE_FILE).exists() or (out.is_dir() and not any(out.iterdir()))
    ):
        raise SettingError(
            f"{out} is neither an empty folder nor an interrupted search; name another",
            settings=["out"],
        )
    return out


def _checked_torch_device(name: str | None) -> str | None:
    """The torch device.

    Raises:
        SettingError: torch has no such device here.
    """
    import torch

    if name is not None:
        try:
            torch.zeros(1, device=name).cpu()
        except (RuntimeError, AssertionError) as error:  # torch asserts that CUDA is compiled in
            raise SettingError(
                f"torch_device is {name!r}, which torch cannot use here "
                f"({str(error).splitlines()[0]}); name cpu, cuda or cuda:N",
                settings=["torch_device"],
            ) from error
    return name


def _seconds_left(minutes: float | None, started_s: float) -> float | None:
    """What is left of a budget, at least a second; None without a budget."""
    return None if minutes is None else max(60 * minutes - (time.monotonic() - started_s), 1.0)
