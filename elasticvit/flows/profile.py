"""Profile devices: time kernels and whole subnets of a space, and fit latency predictors."""

from __future__ import annotations

from typing import Any

from elasticvit.events import EventHandler, ignore
from elasticvit.flows.profile_job import profile_devices
from elasticvit.flows.profile_method import DirectMethod
from elasticvit.flows.profile_result import ProfileResult
from elasticvit.flows.profile_settings import DEFAULT_MINUTES, ProfileSettings
from elasticvit.flows.settings import WorkspaceLike, settings_of, space_of, workspace_of
from lut.profile import ProfileProgress

__all__ = ["DEFAULT_MINUTES", "ProfileProgress", "ProfileSettings", "profile"]


def profile(
    settings: ProfileSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> ProfileResult:
    """Time kernels and whole subnets of a space on devices and fit their latency predictors.

    Measurements are appended to the workspace's latency table as they are made: an interrupted
    profile continues where it stopped, and a repeated one adds measurements to the same table. The
    first device becomes the workspace's default device.

    Args:
        settings: What to measure; defaults where left out.
        workspace: Workspace or its folder; `.evit` by default.
        events: Receives `lut.profile.ProfileProgress` and `Notice` events, from one thread a
            device; what it raises ends the profile.
        changes: Single settings by name, such as `device="pixel6"`.

    Raises:
        SettingError: A setting is out of range or contradicts another.
        SpaceError: There is no such search space.
        DeviceError: The only device, or all devices, could not be profiled.
        StoreError: The latency table cannot be written.
        PredictorError: Too little was measured to fit a predictor.
    """
    chosen = settings_of(ProfileSettings, settings, changes)
    here = workspace_of(workspace)
    space = space_of(here, chosen.space, events)
    return profile_devices(chosen, here, space, lambda: DirectMethod(space), events)
