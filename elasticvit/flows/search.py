"""Search: the most accurate architecture of a trained supernet under latency caps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import SettingError
from elasticvit.events import EventHandler, Notice, Phase, ignore
from elasticvit.flows.asked import ASKED_FILE, asked_of, note_end, write_asked
from elasticvit.flows.places import check_writable, kept
from elasticvit.flows.search_caps import pose_problem
from elasticvit.flows.search_events import SearchPlanned, SearchStarted
from elasticvit.flows.search_place import by_scores, checked_out, working_in
from elasticvit.flows.search_scores import search_by_scores
from elasticvit.flows.search_seeds import find_seeds
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.flows.search_starts import USUAL
from elasticvit.flows.search_supernet import TrainedSupernet
from elasticvit.flows.search_team import leading, serve_search
from elasticvit.flows.search_verify import make_verifier
from elasticvit.flows.settings import WorkspaceLike, settings_of, workspace_of
from elasticvit.flows.single_run import check_searchable
from elasticvit.flows.train import is_first_rank
from elasticvit.flows.unreadable import unreadable_notices
from elasticvit.kept_genes import keep_genes
from elasticvit.reading import shown
from elasticvit.searching.plan import DEFAULT_BUDGET_S, SOUND_BUDGET_S
from elasticvit.searching.result import FrontPoint, SearchResult, subnet_file
from elasticvit.searching.state import STATE_FILE, SearchState
from elasticvit.searching.winner import CapResult, Measured, Winner
from elasticvit.space import SearchSpace

if TYPE_CHECKING:
    from elasticvit.nn.subnet import Subnet
    from elasticvit.searching.caps import Cap
    from elasticvit.searching.evaluate import Spread
    from elasticvit.searching.spread import Team
    from elasticvit.workspace import Workspace

__all__ = [
    "CapResult",
    "FrontPoint",
    "Measured",
    "SearchOutcome",
    "SearchResult",
    "SearchSettings",
    "Winner",
    "search",
]


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """A finished search.

    Attributes:
        folder: Folder of the search, with `search.json`, `front.csv`, `top.csv`, the front as a
            picture, `report.html` and the chosen subnet.
        result: What was found.
    """

    folder: Path
    result: SearchResult

    def subnet(self, goal: int = 1) -> Subnet:
        """The chosen subnet with its recalibrated weights, on the CPU in evaluation mode.

        Args:
            goal: Number of the goal that it was chosen for, from 1.

        Raises:
            CheckpointError: the search had no supernet, or the file is gone or damaged.
        """
        from elasticvit.nn.subnet import Subnet

        return Subnet.load(self.folder / subnet_file(goal))


def search(
    settings: SearchSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> SearchOutcome:
    """Find the most accurate architecture that keeps the caps, and cut it out of the supernet.

    Space and data set are those of the training run. Without one, or where a proxy or a file of
    accuracies is named, architectures are ordered by that, and there are no weights. A search that
    was interrupted is resumed when called with the same settings, and ends with the same result. A
    search that fails before it has evaluated anything leaves no folder.

    On several processes that torchrun started, all call the flow with the same settings and return
    the same outcome: the first one searches, reads and writes the workspace and reports, the others
    judge what it asks for, for which they need the data set.

    Args:
        settings: What to search for; defaults if left out.
        workspace: Workspace or its folder; `.evit` by default. Nothing is taken from it if the
            settings name a run and predictors, and nothing is written to it if they name `out`,
            unless `verify` asks for finalists to be timed.
        events: Receives `SearchStarted`, `CapsResolved`, `SearchPlanned`, `SearchProgress` after
            every few architectures, `FinalistMeasured` when one was timed on a device, `TopRanked`
            if more than the best are asked for, and a `Phase` when another part of the work begins;
            what it raises ends the search.
        changes: Single settings by name, such as `target_ms=30`.

    Raises:
        SettingError: settings that make no sense, or a training run of one architecture alone.
        TargetError: no target, or one that no architecture keeps; the message says what the space
            can do.
        WorkspaceError: there is no training run, or no profiled device.
        PredictorError: a device has no predictor, or it cannot price the space.
        CheckpointError: the run, or the interrupted search, cannot be read, or another process
            goes on with that search.
        DataError: the data set of the run is gone, or has other classes now.
        FileError: the result cannot be written.
        ProcessError: another process of several is gone; its rank is named.
    """
    chosen = settings_of(SearchSettings, settings, changes)
    if not is_first_rank():
        torch_device = _checked_torch_device(chosen.torch_device)
        outcome: SearchOutcome = serve_search(chosen.threads, torch_device)
        return outcome
    with leading() as team:
        found = _search(chosen, workspace_of(workspace), events, team)
        if team is not None:
            team.end(found)
        return found


def _search(
    chosen: SearchSettings, here: Workspace, events: EventHandler, team: Team | None
) -> SearchOutcome:
    """The search on the one process, or on the first of several, which judge for it."""
    started_s = time.monotonic()
    out = checked_out(chosen)
    if by_scores(chosen, here):
        check_writable(here.root if out is None else out)
        folder, result = search_by_scores(chosen, here, out, events)
        return SearchOutcome(folder=folder, result=result)
    trained = TrainedSupernet.of(chosen, here)
    check_searchable(trained.space, trained.name)
    check_writable(here.root if out is None else out)
    events(_started(chosen, trained.name))
    events(Phase(text="reading the training run and the predictors"))
    space = keep_genes(trained.space, chosen.keep or {})
    problem = pose_problem(chosen, here, space, events)
    verify = make_verifier(chosen, here, space, problem, events)
    from elasticvit.nn.torch_threads import torch_threads
    from elasticvit.searching.job import SearchJob
    from elasticvit.searching.judgement_store import STORE_FILE, JudgementStore
    from elasticvit.searching.workers import workers_for

    events(Phase(text=f"loading the trained supernet and data set {trained.data}"))
    torch_device = _checked_torch_device(chosen.torch_device)
    with ExitStack() as held:
        spread: Spread | None = team
        if team is None:
            spread = held.enter_context(workers_for(chosen.threads, torch_device))
        else:
            held.enter_context(torch_threads(chosen.threads))
        images, supernet = trained.images(), trained.load()
        if team is not None:
            events(Phase(text="sending the supernet to the other processes"))
            team.begin(supernet, images)
        job = SearchJob(
            supernet,
            images,
            problem.goals,
            space=space,
            seed=chosen.seed,
            run=trained.name,
            latency=problem.latency,
            precision=problem.precision,
            feasible=problem.feasible,
            seeds=find_seeds(chosen.start, trained.run, here, space),
            store=JudgementStore(here.root / STORE_FILE) if out is None else None,
            spread=spread,
            torch_device=torch_device,
        )
        asked: list[Any] = [chosen.population, chosen.generations, chosen.budget_minutes]
        if chosen.evaluations is not None or tuple(chosen.start) != USUAL:
            asked += [chosen.evaluations, sorted(chosen.start)]
        folders = here.folders("search") if out is None else [out]
        found = job.unfinished(folders, asked)
        if found is None and out is None:
            _tell_outdated(job.outdated(folders, asked), events)
        config = None if found is None else found[1]
        going_on = out if found is None else found[0]
        if going_on is not None:
            held.enter_context(working_in(going_on, here))
        events(Phase(text="timing the evaluation of single architectures"))
        plan = job.plan(
            evaluations=chosen.evaluations,
            population=chosen.population,
            generations=chosen.generations,
            config=config,
            budget_s=_seconds_left(chosen.budget_minutes, started_s),
        )
        events(
            SearchPlanned(
                plan=plan,
                recalibration_images=job.quick.sizes.recalibration_images,
                search_images=job.quick.sizes.search_images,
                resumes=None if found is None else found[0],
                evaluated=0 if found is None else _evaluated(found[0], trained.space),
            )
        )
        folder = going_on or held.enter_context(working_in(here.new_folder("search"), here))
        if out is None:
            run = {} if trained.run is None else {"run": trained.name}
            cpu = _cpu_settings(problem.goals[0].caps)
            write_asked(folder / ASKED_FILE, {**asked_of(chosen), **cpu, **run})
        ends_s = time.monotonic() + (math.inf if plan.deadline_s is None else plan.deadline_s)
        result = job.run(
            folder,
            plan.config,
            finalist_count=plan.finalists,
            asked=asked,
            events=events,
            stop=lambda: time.monotonic() > ends_s,
            verify=verify,
            top=chosen.top,
        )
        note_end(folder / ASKED_FILE)
        verify.save()
    for notice in unreadable_notices(images):
        events(notice)
    if out is None:
        with kept(f"the finished search is kept in {folder}"):
            here.set_latest("search", folder)
    return SearchOutcome(folder=folder, result=result)


def _tell_outdated(folder: Path | None, events: EventHandler) -> None:
    """Say why an interrupted search of the same settings, if there is one, is not gone on with."""
    if folder is not None:
        text = (
            f"the interrupted search in {folder} has the same settings, but latencies are "
            "predicted otherwise since (a device was profiled again, or a search timed finalists). "
            "This one begins anew; what was judged is not judged again"
        )
        events(Notice(text=text, warning=True))


def _cpu_settings(caps: Sequence[Cap]) -> dict[str, Any]:
    """The settings that name the threads and cores of the latencies, whatever is profiled next."""
    found = {cap.cpu for cap in caps if cap.cpu is not None}
    if len(found) != 1:
        return {}
    (cpu,) = found
    return {"device_threads": cpu.threads, "device_cores": cpu.cores}


def _started(settings: SearchSettings, run: str) -> SearchStarted:
    if settings.budget_minutes is None:
        return SearchStarted(run=run, budget_s=DEFAULT_BUDGET_S, longest_s=SOUND_BUDGET_S)
    budget_s = 60 * settings.budget_minutes
    return SearchStarted(run=run, budget_s=budget_s, longest_s=budget_s)


def _evaluated(folder: Path, space: SearchSpace) -> int:
    """Number of architectures that an interrupted search has evaluated."""
    state = SearchState.load(folder / STATE_FILE, space)
    return len(state.archs) + len(state.pending)


def _checked_torch_device(name: str | None) -> str | None:
    """The torch device.

    Raises:
        SettingError: torch has no such device here.
    """
    import torch

    if name is not None:
        try:
            torch.zeros(1, device=name).cpu()
        except Exception as error:  # torch asserts that CUDA is compiled in, overflows, ...
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise SettingError(
                f"torch_device is {shown(name)}, which torch cannot use here ({reason}); name "
                "cpu, cuda or cuda:N",
                settings=["torch_device"],
            ) from error
    return name


def _seconds_left(minutes: float | None, started_s: float) -> float | None:
    """What is left of a budget, at least a second; None without a budget."""
    return None if minutes is None else max(60 * minutes - (time.monotonic() - started_s), 1.0)
