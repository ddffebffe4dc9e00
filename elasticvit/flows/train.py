"""Train the supernet of a search space on a data set.

Space and data set belong to the run: whatever follows takes them from there. On several
processes that torchrun started, all call the flow with the same settings; the first one alone
writes and reports, and all return the same result.
"""

from __future__ import annotations

import os
from typing import Any

from elasticvit.errors import SpaceError
from elasticvit.events import EventHandler, Phase, ignore
from elasticvit.flows.settings import WorkspaceLike, settings_of, workspace_of
from elasticvit.flows.train_result import SubnetAccuracy, TrainResult
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.flows.train_single import named_space
from elasticvit.flows.train_start import space_for, start_source

IMAGE_CHANNELS = 3
__all__ = ["SubnetAccuracy", "TrainResult", "TrainSettings", "is_first_rank", "train"]


def train(
    settings: TrainSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> TrainResult:
    """Train a supernet, or resume an interrupted run with the same settings.

    A run that was interrupted in any way continues from its last checkpoint and ends with the same
    weights. One that fails before its first checkpoint leaves no files. A run that is finished is
    not repeated (see `TrainSettings.fresh`).

    Args:
        settings: Settings; by default those of `TrainSettings()`.
        workspace: Workspace or its folder; by default `.evit` in the current folder.
        events: Handler of training events; what it raises ends the training, after a checkpoint.
        changes: Single settings by name.

    Raises:
        SettingError: A setting makes no sense.
        SpaceError: There is no such search space, or its images do not have three channels.
        DataError: The data set is unknown, unreadable or too small.
        WorkspaceError: The workspace is foreign, or complexity is to be measured in ms and no
            device was profiled.
        PredictorError: The device has no predictor, or it cannot price the space.
        TargetError: A complexity level holds no architecture.
        CheckpointError: A run cannot be read, or there is none to resume.
        ArchError: `subnet` is no architecture of the space.
        ModelError: A teacher tells other classes apart, or timm's weights of it cannot be had.
        TrainingError: The loss is no longer a number or has risen beyond where it began, or another
            process trains the same run.
        FileError: The workspace, or the folder of the run, cannot be written to.
    """
    settings = settings_of(TrainSettings, settings, changes)
    folder = workspace_of(workspace)
    handler = events if is_first_rank() else ignore
    source = start_source(settings, handler)
    space = named_space(settings, folder, handler)
    if space is not None and space.layout.in_channels != IMAGE_CHANNELS:
        raise SpaceError(
            f"search space {space.name} has in_channels {space.layout.in_channels}; images of data "
            f"sets are read in RGB, so it must be {IMAGE_CHANNELS} to be trained",
            settings=["space"],
        )
    data = folder.data(settings.data)
    purpose = f"train space {space.name} on it" if space else "choose a space for it"
    handler(Phase(text=f"opening data set {data}, to {purpose}"))

    from elasticvit.training.data import open_data

    images = open_data(data)

    from elasticvit.flows.train_job import TrainJob
    from elasticvit.flows.train_plan import TrainPlan
    from elasticvit.nn.torch_threads import torch_threads
    from elasticvit.training.ranks import joined

    with torch_threads(settings.threads), joined() as ranks:
        space = space or space_for(images, ranks, settings, source, handler)
        plan = TrainPlan(folder, settings, space, images, ranks, handler, source)
        return TrainJob(folder, plan, handler).run()


def is_first_rank() -> bool:
    """Whether this process reports: it is alone, or the first one that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
