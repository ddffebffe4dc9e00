"""Learn new devices from source devices and a few measured kernels of their own."""

from __future__ import annotations

from typing import Any

from elasticvit.events import EventHandler, ignore
from elasticvit.flows.learn_method import TransferMethod
from elasticvit.flows.learn_settings import DEFAULT_KERNELS, LearnSettings
from elasticvit.flows.profile_job import profile_devices
from elasticvit.flows.profile_result import ProfileResult
from elasticvit.flows.settings import WorkspaceLike, settings_of, space_of, workspace_of

__all__ = ["DEFAULT_KERNELS", "LearnSettings", "learn_device"]


def learn_device(
    settings: LearnSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> ProfileResult:
    """Learn new devices from source devices, a few chosen kernels and twelve whole subnets.

    The kernels are chosen before anything is measured, each one so that it leaves the least
    uncertainty about all the others; a larger budget starts with the same kernels. Measurements
    are appended to the same latency table as those of a full profile.

    Args:
        settings: What to learn; by default those of `LearnSettings()`.
        workspace: Workspace or its folder; `.evit` by default.
        events: As in `profile`.
        changes: Single settings by name, such as `device="pixel8", like="pixel6"`.

    Raises:
        SettingError: A setting is out of range or contradicts another.
        PredictorError: A source device has no predictor in the workspace, or its predictor does not
            cover the space; or too little was measured.
        SpaceError, DeviceError, StoreError: As in `profile`.
    """
    chosen = settings_of(LearnSettings, settings, changes)
    here = workspace_of(workspace)
    space = space_of(here, chosen.space, events)
    return profile_devices(
        chosen, here, space, lambda: TransferMethod.of(here, chosen, space), events
    )
