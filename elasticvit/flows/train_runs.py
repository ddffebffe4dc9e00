"""The folder of a training run: which run has the same settings, and whether to resume it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import CheckpointError, SettingError, TrainingError
from elasticvit.events import EventHandler, Notice
from elasticvit.files import writing
from elasticvit.flows.train_events import RunFound
from elasticvit.flows.train_result import RESULT_FILE
from elasticvit.process_lock import process_lock
from elasticvit.space import SearchSpace
from elasticvit.training.run_info import (
    LOCK_FILE,
    RUN_FILE,
    RunInfo,
    RunSettings,
    has_checkpoint,
)
from elasticvit.workspace import Workspace
from elasticvit.workspace_settings import WorkspaceSettings

if TYPE_CHECKING:
    from elasticvit.flows.train_settings import TrainSettings
    from elasticvit.training.config import TrainConfig
    from elasticvit.training.data import ImageData
    from elasticvit.training.levels import Levels

REMEMBERED = ("space", "space_definition", "space_file", "classes", "data")


def run_info(
    space: SearchSpace, images: ImageData, config: TrainConfig, levels: Levels, seed: int
) -> RunInfo:
    """What a run is. Its complexity levels are part of it, since another profile of a device
    moves those in milliseconds."""
    settings = RunSettings(**vars(config), levels=levels.values, level_unit=levels.unit)
    return RunInfo(
        space=space,
        data=images.info.spec,
        seed=seed,
        mean=images.mean,
        std=images.std,
        settings=settings,
        upright=images.train.turned,
    )


def find_run(
    workspace: Workspace, info: RunInfo, *, resume: bool, fresh: bool, events: EventHandler
) -> Path | None:
    """The latest run of a workspace that is the same training, finished or not; None if there is
    none.

    Args:
        workspace: The workspace.
        info: What the run is.
        resume: Whether a run must be found.
        fresh: Whether no run is looked for.
        events: Receives `RunFound`, or a `Notice` if an interrupted run has other settings.

    Raises:
        CheckpointError: A run cannot be read, or `resume` finds none.
    """
    other = None
    for run in reversed([] if fresh else workspace.folders("run")):
        if not (run / RUN_FILE).exists():
            continue
        finished = (run / RESULT_FILE).exists()
        if RunInfo.load(run) == info:
            events(RunFound(folder=run, finished=finished))
            return run
        if not finished and has_checkpoint(run):
            other = other or run
    if resume:
        raise CheckpointError(
            f"no interrupted run with these settings in {workspace.root}"
            + (f"; {other} has others" if other else "")
            + "; start one instead",
            settings=["resume"],
        )
    if other is not None:
        events(Notice(text=f"starting anew: the interrupted {other} has other settings"))
    return None


def run_at(out: Path, info: RunInfo, *, resume: bool, fresh: bool, events: EventHandler) -> bool:
    """Whether a named folder holds a run with the same settings, finished or not.

    Raises:
        SettingError: The folder holds something else.
        FileError: Its path is none that can be used.
        CheckpointError: The folder's run cannot be read, or `resume` finds none.
    """
    with writing(out):
        is_run = (out / RUN_FILE).exists()
        taken = not is_run and out.exists()
        taken = taken and (not out.is_dir() or any(p.name != LOCK_FILE for p in out.iterdir()))
    if not is_run:
        if taken:
            raise SettingError(
                f"out is {out}, which exists and is not a training run; name a new folder",
                settings=["out"],
            )
        if resume:
            raise CheckpointError(
                f"no interrupted run in {out}; start one instead", settings=["resume"]
            )
        return False
    if fresh or RunInfo.load(out) != info:
        raise SettingError(
            f"out is {out}, which holds "
            + ("a training run already" if fresh else "a training run with other settings")
            + "; name a new folder",
            settings=["out", "fresh"],
        )
    events(RunFound(folder=out, finished=(out / RESULT_FILE).exists()))
    return True


def check_goes_on(run: Path | None, settings: TrainSettings, *, finished: bool) -> None:
    """Refuse settings that are for an interrupted run where there is none.

    Args:
        run: Folder of the run with the same settings; None if there is none.
        settings: Settings of the flow.
        finished: Whether the run has trained to the end.

    Raises:
        SettingError: There is no interrupted run with the same settings.
    """
    names = [n for n in ("resume_from", "lr_scale") if getattr(settings, n) is not None]
    if names and (run is None or finished or not has_checkpoint(run)):
        state = "is finished" if finished else "was not found"
        raise SettingError(
            f"{names[0]} is {getattr(settings, names[0])}, which is for an interrupted run; one "
            f"with these settings {state}: leave it out, or name the settings of that run",
            settings=names,
        )


def locked(run: Path) -> AbstractContextManager[None]:
    """Keep other processes from training in the folder of a run while the context lasts.

    Raises:
        TrainingError: Another process trains there.
        FileError: The folder cannot be written to.
    """
    return process_lock(
        run / LOCK_FILE,
        TrainingError,
        f"training run {run} is in use by process {{process}}, which trains it; wait until that "
        "process has ended, or stop it, then repeat this",
    )


@contextmanager
def remembered(
    workspace: Workspace, run: Path, space: SearchSpace | None, data: str
) -> Iterator[None]:
    """Make space and data set the defaults of what follows, unless the work inside fails before
    the run has a checkpoint; then the settings are as before.

    Args:
        workspace: The workspace.
        run: Folder of the run.
        space: The space as it was named, without the data set's number of classes; None to leave
            the default as it is.
        data: Canonical spec of the data set.
    """
    before = workspace.settings()
    workspace.remember(space=space, data=data)
    try:
        yield
    except BaseException:
        if not has_checkpoint(run):
            workspace.update({name: getattr(before, name) for name in REMEMBERED})
            if workspace.settings() == WorkspaceSettings():
                workspace.settings_path.unlink()
            workspace.prune()
        raise
