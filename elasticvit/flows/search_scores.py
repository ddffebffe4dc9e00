"""A search without a supernet: architectures ordered by a proxy, or by accuracies from a file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.events import EventHandler, Phase
from elasticvit.flows.places import kept
from elasticvit.flows.search_caps import Problem, pose_problem
from elasticvit.flows.search_events import ScoresChosen
from elasticvit.flows.search_place import working_in
from elasticvit.flows.search_seeds import find_seeds
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.flows.search_verify import make_verifier
from elasticvit.flows.settings import space_of
from elasticvit.kept_genes import keep_genes
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.proxy import Score, find_proxy, scaled
from elasticvit.searching.result import SearchResult
from elasticvit.searching.score_job import ScoreJob
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

DEFAULT_PROXY = "macs"


def search_by_scores(
    settings: SearchSettings, workspace: Workspace, out: Path | None, events: EventHandler
) -> tuple[Path, SearchResult]:
    """Search by a proxy or by a table of accuracies; the folder of the search, and its result.

    Args:
        settings: Settings of the flow.
        workspace: Has the predictors, and the space if none is named.
        out: Folder for the result; None for a new one in the workspace.
        events: Receives what the search flow tells.

    Raises:
        EvitError: As the search flow raises.
    """
    _check_unused(settings)
    whole = space_of(workspace, settings.space, events)
    space = keep_genes(whole, settings.keep or {})
    score, source, about = _score(settings, whole, space)
    events(ScoresChosen(source=source, about=about))
    problem = pose_problem(settings, workspace, space, events)
    job = ScoreJob(
        space,
        problem.goals,
        score,
        source=source,
        seed=settings.seed,
        latency=problem.latency,
        precision=problem.precision,
        feasible=problem.feasible,
        seeds=find_seeds(settings.start, None, workspace, space),
    )
    verify = make_verifier(settings, workspace, space, problem, events)
    with ExitStack() as held:
        folder = out or workspace.new_folder("search")
        held.enter_context(working_in(folder, workspace))
        events(Phase(text=f"searching {_goals(problem)} by {source}"))
        result = job.run(folder, _size(settings), events=events, verify=verify, top=settings.top)
    verify.save()
    if out is None:
        with kept(f"the finished search is kept in {folder}"):
            workspace.set_latest("search", folder)
    return folder, result


def _check_unused(settings: SearchSettings) -> None:
    """Refuse settings that only a search of a supernet has.

    Raises:
        SettingError: One is there.
    """
    names = [n for n in ("evaluations", "budget_minutes", "torch_device") if getattr(settings, n)]
    names += [] if settings.checkpoint == "latest" else ["checkpoint"]
    if names:
        raise SettingError(
            f"{names[0]} is {getattr(settings, names[0])}, but there is no supernet to judge "
            "architectures with: a search by a proxy or by a table of accuracies takes seconds and "
            f"judges as many as population and generations say; leave {names[0]} out",
            settings=["population", "generations"],
        )


def _score(
    settings: SearchSettings, whole: SearchSpace, space: SearchSpace
) -> tuple[Score, str, str]:
    """The score of each architecture of `space`, what it is, and what is known of its worth; a
    table of accuracies may have architectures of the whole space, in which fewer genes are fixed.
    """
    if settings.accuracies is not None:
        from elasticvit.searching.accuracy_table import AccuracyTable  # loads pandas

        table = AccuracyTable.read(Path(settings.accuracies), whole)
        return table.score(settings.seed), f"file {Path(settings.accuracies).name}", table.about
    proxy = find_proxy(settings.proxy or DEFAULT_PROXY)
    return scaled(space, proxy.of(space)), f"proxy {proxy.name}", proxy.about


def _size(settings: SearchSettings) -> EvolutionConfig:
    population, generations = settings.population, settings.generations
    if population is None and generations is None:
        return EvolutionConfig()
    usual = EvolutionConfig()
    return EvolutionConfig.of(population or usual.population, generations or usual.generations)


def _goals(problem: Problem) -> str:
    count = len(problem.goals)
    return "one goal" if count == 1 else f"{count} goals"
