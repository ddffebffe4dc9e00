"""Settings of the flow that learns new devices from source devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from elasticvit.errors import SettingError
from elasticvit.flows.profile_settings import ProfileSettings
from elasticvit.flows.settings import check_distinct, check_ranges
from elasticvit.names import check_name
from elasticvit.reading import shown

DEFAULT_KERNELS = 50
MIN_KERNELS, MOST_KERNELS = 3, 1_000_000


@dataclass(frozen=True, kw_only=True)
class LearnSettings(ProfileSettings):
    """Settings of `learn_device`: those of a profile, the source devices and a kernel budget.

    Attributes:
        like: Names of the source devices, which have predictors in the workspace: a sequence, or
            one text separated by commas.
        budget_kernels: Number of kernels to time on the new device.

    Raises:
        SettingError: There is no source device, one is named twice or is the new device itself, or
            there are too few or too many kernels.
    """

    like: str | Sequence[str] = ()
    budget_kernels: int = DEFAULT_KERNELS

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.sources
        if not names or not all(names):
            raise SettingError(
                f"like is {shown(self.like)}; name profiled source devices, such as "
                "'pixel4,xiaomi11'",
                settings=["like"],
            )
        check_ranges(self, {"budget_kernels": (MIN_KERNELS, MOST_KERNELS)})
        for name in names:
            check_name("a device in like", name, SettingError, "like")
        check_distinct("like", names)
        for name in self.devices:
            if name in names:
                raise SettingError(
                    f"{name} cannot be learnt from itself; name other source devices",
                    settings=["like"],
                )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the source devices."""
        names = self.like.split(",") if isinstance(self.like, str) else self.like
        return tuple(name.strip() for name in names)
