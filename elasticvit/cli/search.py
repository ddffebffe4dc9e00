"""`evit-search`: the most accurate architecture of a space that keeps a latency target."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from elasticvit.cli.app import Report, duration, evit_command
from elasticvit.cli.search_report import Bar, print_choice, print_front
from elasticvit.errors import TargetError, WorkspaceError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.cost import CostModel
    from elasticvit.search.caps import Cap
    from elasticvit.space import SearchSpace
    from predictors.predictor import Predictor

HELP = """Find the most accurate architecture that keeps a latency target on your device.

Several devices: repeat --device, with one --target-ms for all or one for each. An interrupted
search goes on when the same command is given again.
"""


@evit_command("evit-search", HELP)
@click.option("--target-ms", type=float, multiple=True, help="Most milliseconds an image.")
@click.option("--device", multiple=True, help="Whose latency.  [default: the profiled device]")
@click.option("--target-mmacs", type=float, default=None, help="Most multiply-accumulates, in M.")
@click.option(
    "--run", type=click.Path(file_okay=False), default=None, help="Training run.  [default: latest]"
)
@click.option("--population", type=click.IntRange(min=2), default=None, help="[default: by time]")
@click.option("--generations", type=click.IntRange(min=1), default=None, help="[default: by time]")
@click.option(
    "--budget-minutes", type=click.FloatRange(min=0.05), default=None, help="Time for everything."
)
@click.option("--extrapolate", is_flag=True, help="Price kernels outside what was measured.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of the search.")
@click.option("--threads", type=click.IntRange(1, 256), default=None, help="[default: all cores]")
def main(
    workspace: str | None,
    as_json: bool,
    target_ms: tuple[float, ...],
    device: tuple[str, ...],
    target_mmacs: float | None,
    run: str | None,
    population: int | None,
    generations: int | None,
    budget_minutes: float | None,
    extrapolate: bool,
    seed: int,
    threads: int | None,
) -> None:
    started_s = time.monotonic()
    report = Report(as_json)
    folder = Workspace.open(workspace)
    if "space" in folder.settings():  # what the space can do is known before it is trained
        _check_targets(folder, folder.choose_space(None), target_ms, device, target_mmacs)
    run_folder, space = _run_and_space(folder, run)
    caps, predictors = _caps(folder, space, target_ms, device, target_mmacs, extrapolate)
    _say_caps(report, space, caps, predictors)

    import torch

    from elasticvit.search.job import SearchJob
    from elasticvit.training.checkpoint import RunInfo, load_supernet
    from elasticvit.training.data import open_data

    if threads is not None:
        torch.set_num_threads(threads)
    job = SearchJob(
        load_supernet(run_folder),
        open_data(RunInfo.load(run_folder).data),
        caps,
        seed=seed,
        run=str(run_folder),
        latency=_latency(folder, space, caps, extrapolate),
    )
    asked = [population, generations, budget_minutes]
    found = job.unfinished(folder.folders("search"), asked)
    plan = job.plan(
        population=found[1].population if found else population,
        generations=found[1].generations if found else generations,
        budget_s=None
        if budget_minutes is None
        else max(60 * budget_minutes - (time.monotonic() - started_s), 1.0),
    )
    sizes = job.quick.sizes
    report.console.print(
        f"{f'going on with {found[0]}:' if found else 'searching'} up to "
        f"{plan.config.evaluations} architectures ({plan.config.population} and "
        f"{plan.config.generations} generations), {plan.evaluation_s:.2g} s each (recalibrated on "
        f"{sizes.recalibration_images} images, judged on {sizes.search_images}): about "
        f"{duration(plan.total_s)} in all"
    )
    path = found[0] if found else folder.new_folder("search")
    with Bar(report, caps, plan.deadline_s) as bar:
        result = job.run(
            path,
            plan.config,
            finalist_count=plan.finalists,
            asked=asked,
            progress=bar.update,
            stop=bar.time_is_up,
            stage=bar.stage,
        )
    folder.set_latest("search", path)
    print_front(report, result)
    print_choice(report, result, path)
    report.close(
        {"command": "evit-search", "folder": str(path), **result.to_dict()},
        "evit-export --format tflite",
    )


def _run_and_space(folder: Workspace, run: str | None) -> tuple[Path, SearchSpace]:
    """The training run's folder, and its space, which must be the workspace's."""
    run_folder = Path(run) if run is not None else folder.latest("run")
    from elasticvit.training.checkpoint import RunInfo

    space = RunInfo.load(run_folder).space
    if "space" in folder.settings():
        chosen = folder.choose_space(None)
        if chosen != space:
            raise WorkspaceError(
                f"run {run_folder} was trained for space {space.name!r} with "
                f"{space.layout.classes} classes, but workspace {folder.root} is for "
                f"{chosen.name!r} with {chosen.layout.classes}; name a run of this workspace"
            )
    return run_folder, space


def _check_targets(
    folder: Workspace,
    space: SearchSpace,
    target_ms: tuple[float, ...],
    devices: tuple[str, ...],
    target_mmacs: float | None,
) -> tuple[str, ...]:
    """The devices whose latency is meant.

    Raises:
        TargetError: no target, or not as many as devices; what the space can do is told.
        WorkspaceError: no device was profiled.
    """
    if len(set(devices)) < len(devices):
        raise TargetError(f"devices {', '.join(devices)}: one is named twice; name each once")
    default = folder.settings().get("device")
    names = devices or ((default,) if default else ())
    if not target_ms and (target_mmacs is None or devices):
        raise TargetError(_no_target(folder, space, names))
    if target_ms and not names:
        raise WorkspaceError(
            f"workspace {folder.root} has no profiled device for --target-ms; run "
            "`evit-profile --device host` first, or limit --target-mmacs instead"
        )
    if len(target_ms) not in (0, 1, len(names)):
        raise TargetError(
            f"{len(target_ms)} targets for {len(names)} devices ({', '.join(names)}); give one "
            "--target-ms for all, or one for each --device in its order"
        )
    return names


def _caps(
    folder: Workspace,
    space: SearchSpace,
    target_ms: tuple[float, ...],
    devices: tuple[str, ...],
    target_mmacs: float | None,
    extrapolate: bool,
) -> tuple[list[Cap], dict[str, Predictor]]:
    """The caps that the options ask for, latencies first, and the predictors behind them."""
    from elasticvit.cost import MacsCost
    from elasticvit.search.caps import Cap
    from predictors.predictor import load_device

    names = _check_targets(folder, space, target_ms, devices, target_mmacs)
    caps: list[Cap] = []
    predictors: dict[str, Predictor] = {}
    for i, name in enumerate(names if target_ms else ()):
        predictors[name] = load_device(folder, name)
        cost = predictors[name].cost(space, extrapolate=extrapolate)
        limit = target_ms[min(i, len(target_ms) - 1)]
        caps.append(Cap(cost=cost, limit=limit, device=name, source=predictors[name].source))
    if target_mmacs is not None:
        caps.append(Cap(cost=MacsCost(space), limit=target_mmacs))
    return caps, predictors


def _no_target(folder: Workspace, space: SearchSpace, names: tuple[str, ...]) -> str:
    import numpy as np

    from elasticvit.cost import MacsCost
    from elasticvit.search.caps import reach
    from predictors.latency import load_latency_cost

    costs: list[CostModel] = [load_latency_cost(folder, name, space) for name in names]
    ranges = []
    for cost in costs or [MacsCost(space)]:
        can = reach(space, cost.price, np.random.default_rng(0))
        ranges.append(
            f"{cost.name} fastest {can.low:.3g}, median {can.median:.3g}, slowest {can.high:.3g} "
            f"{cost.unit}"
        )
    option = (
        "name one with --target-ms N"
        if costs
        else "name one with --target-ms N (after `evit-profile --device host`) or --target-mmacs N"
    )
    return f"no target; {option}. Space {space.name} has {'; '.join(ranges)}"


def _latency(
    folder: Workspace, space: SearchSpace, caps: list[Cap], extrapolate: bool
) -> CostModel | None:
    """The cost of the first device; that of the profiled one when only MACs are limited."""
    from predictors.latency import load_latency_cost

    for cap in caps:
        if cap.device is not None:
            return cap.cost
    name = folder.settings().get("device")
    if name is None or not folder.predictor_path(name).is_dir():
        return None
    return load_latency_cost(folder, name, space, extrapolate=extrapolate)


def _say_caps(
    report: Report, space: SearchSpace, caps: list[Cap], predictors: dict[str, Predictor]
) -> None:
    """What is limited, and what the space can do; refuses what cannot be met.

    Raises:
        TargetError: no architecture keeps the caps; the lowest cost is named.
    """
    import numpy as np

    from elasticvit.cli.sources import origin, remarks
    from elasticvit.search.caps import check_reachable, reach

    check_reachable(space, caps, np.random.default_rng(0))
    for cap in caps:
        can = reach(space, cap.bound, np.random.default_rng(0))
        what = cap.cost.name
        share = predictors[cap.device].interval.coverage if cap.device is not None else None
        if cap.device is not None:
            what = f"predicted {what}" if share is None else f"upper bound of {what}"
        report.console.print(
            f"target: {what} at most {cap.limit:g} {cap.cost.unit}; space {space.name} has "
            f"{can.low:.3g} to {can.high:.3g}, median {can.median:.3g}"
        )
        if cap.device is not None:
            predictor = predictors[cap.device]
            report.console.print(f"numbers of {cap.device}: {origin(predictor)}")
            for remark in remarks(predictor, space):
                report.console.print(remark)
            report.console.print(
                "the predictor knows no bound of its error, as no whole subnet was timed: the "
                "measured latency may be above the target"
                if share is None
                else f"the bound is made to hold for {share:.0%} of what is measured"
            )
        if cap.limit >= can.high:
            report.console.print(
                f"every architecture of space {space.name} keeps this target: it limits nothing"
            )
