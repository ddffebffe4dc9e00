"""The runs of a workspace: what makes two trainings the same, and which one to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.cli.app import Report
from elasticvit.errors import CheckpointError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from elasticvit.training.checkpoint import RunInfo
    from elasticvit.training.config import TrainConfig
    from elasticvit.training.data import ImageData
    from elasticvit.training.levels import Levels

RESULT_FILE = "result.json"


def run_info(
    space: SearchSpace, images: ImageData, config: TrainConfig, levels: Levels, seed: int
) -> RunInfo:
    """What the run is; its levels are part of it, since another profile moves those in ms."""
    from elasticvit.training.checkpoint import RunInfo

    return RunInfo(
        space=space,
        data=images.info.spec,
        seed=seed,
        mean=images.mean,
        std=images.std,
        settings={**config.to_dict(), "levels": list(levels.values), "level_unit": levels.unit},
    )


def choose_run(report: Report, folder: Workspace, info: RunInfo, resume: bool, fresh: bool) -> Path:
    """The folder of the run to go on with or to repeat the result of; otherwise a new one."""
    from elasticvit.training.checkpoint import CHECKPOINT_FILE, RunInfo

    other = None
    for run in reversed([] if fresh else folder.folders("run")):
        if not (run / "run.json").exists():
            continue
        done = (run / RESULT_FILE).exists()
        if RunInfo.load(run).to_dict() == info.to_dict():
            report.console.print(
                f"{run} has trained exactly this; here is its result again (--fresh trains anew)"
                if done
                else f"going on with {run}"
            )
            return run
        if not done and (run / CHECKPOINT_FILE).exists():
            other = other or run
    if resume:
        raise CheckpointError(
            f"no interrupted run with these settings in {folder.root}"
            + (f"; {other} has others" if other else "")
            + "; leave --resume out to start one"
        )
    if other is not None:
        report.console.print(f"starting anew: the interrupted {other} has other settings")
    run = folder.new_folder("run")
    info.save(run)
    return run
