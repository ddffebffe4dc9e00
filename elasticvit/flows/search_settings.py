"""Settings of the search flow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_distinct, check_minutes, check_ranges, device_names

if TYPE_CHECKING:
    from predictors.predictor import Predictor

SHORTEST_MINUTES = 0.05
RANGES = {
    "population": (2, 4096),
    "generations": (1, 4096),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
}


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Settings of the search flow.

    Attributes:
        target_ms: Latency cap in milliseconds per image: one number for all devices, or one for
            each device in the order of `device`.
        device: Names of the devices that `target_ms` applies to. None: all devices of `predictor`,
            or else the device that was profiled last.
        target_mmacs: Cap on multiply-accumulates per image, in millions.
        run: Folder of the training run with the supernet. None: the workspace's latest run.
        predictor: Predictors, or the folders they were saved in, by device name; predictors of
            other devices are loaded from the workspace.
        out: Folder to write the result to: empty, or holding an interrupted search with the same
            settings; the workspace is not changed then. None: a new folder in the workspace, which
            becomes its latest search.
        population: Number of parents in each generation. None: chosen by the time budget.
        generations: Number of generations. None: chosen by the time budget.
        budget_minutes: Time budget of the whole search in minutes. None: about 3 minutes, up to
            15 on a slow machine.
        extrapolate: Whether kernels outside the measured range are priced, with wider bounds,
            instead of refused.
        seed: Random seed.
        threads: Number of CPU threads of torch. None: torch's current number.
        torch_device: Torch device that the networks run on, such as `cpu` or `cuda:1`. None: CUDA
            if available, else the CPU.

    Raises:
        SettingError: A value is out of range, or a device is named twice.
    """

    target_ms: float | list[float] | tuple[float, ...] | None = None
    device: str | list[str] | tuple[str, ...] | None = None
    target_mmacs: float | None = None
    run: Path | str | None = None
    predictor: Mapping[str, Path | str | Predictor] | None = None
    out: Path | str | None = None
    population: int | None = None
    generations: int | None = None
    budget_minutes: float | None = None
    extrapolate: bool = False
    seed: int = 0
    threads: int | None = None
    torch_device: str | None = None

    def __post_init__(self) -> None:
        names = self.devices
        if not all(isinstance(name, str) and name for name in names):
            raise SettingError(
                f"device is {self.device!r}; a device name must be a text that is not empty",
                settings=["device"],
            )
        check_distinct("device", names)
        self._check_targets()
        check_minutes("budget_minutes", self.budget_minutes, SHORTEST_MINUTES)
        check_ranges(self, RANGES)

    def _check_targets(self) -> None:
        named = [("target_ms", value) for value in self.targets_ms]
        if self.target_mmacs is not None:
            named.append(("target_mmacs", self.target_mmacs))
        for name, value in named:
            if not (isinstance(value, Real) and 0 < value < math.inf):
                raise SettingError(
                    f"{name} is {value!r}; a target must be above 0, and finite", settings=[name]
                )

    @property
    def targets_ms(self) -> tuple[float, ...]:
        """The latency targets in milliseconds; empty if there are none."""
        value = self.target_ms
        if value is None:
            return ()
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices; empty if none is named."""
        return device_names(self.device)

    @property
    def has_target(self) -> bool:
        """Whether a target is named; if a device is named, it must be a latency target."""
        return bool(self.targets_ms) or (self.target_mmacs is not None and not self.devices)
