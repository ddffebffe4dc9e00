"""Settings of the search flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import SettingError, TargetError
from elasticvit.flows.places import check_path
from elasticvit.flows.settings import (
    check_distinct,
    check_minutes,
    check_ranges,
    check_real,
    device_names,
)
from elasticvit.names import check_name
from elasticvit.reading import shown
from elasticvit.searching.config import EvolutionConfig

if TYPE_CHECKING:
    from predictors.predictor import Predictor

SHORTEST_MINUTES = 0.05
TARGET_RANGES = {  # least and greatest value, unit
    "target_ms": (1e-6, 1e9, "milliseconds"),
    "target_mmacs": (1e-6, 1e9, "millions of multiply-accumulates"),
}
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
        out: Folder to write the result to: new in a folder that exists, empty, or holding an
            interrupted search with the same settings; the workspace is not changed then. None: a
            new folder in the workspace, which becomes its latest search.
        population: Number of parents in each generation, at most 4096. None: chosen by the time
            budget.
        generations: Number of generations, at most 4096. None: chosen by the time budget. A search
            has at most 100,000 evaluations, which are population * (1 + 4 * generations).
        budget_minutes: Time budget of the whole search in minutes. None: about 3 minutes, up to
            15 on a slow machine.
        extrapolate: Whether kernels outside the measured range are priced, with wider bounds,
            instead of refused.
        seed: Random seed.
        threads: Number of CPU threads of torch. None: torch's current number.
        torch_device: Torch device that the networks run on, such as `cpu` or `cuda:1`. None: CUDA
            if available, else the CPU.

    Raises:
        SettingError: A value is out of range, a device is named twice, or the search would have
            too many evaluations.
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
        for name in self.devices:
            check_name("device", name, SettingError, "device")
        check_distinct("device", self.devices)
        self._check_targets()
        check_minutes("budget_minutes", self.budget_minutes, SHORTEST_MINUTES)
        check_ranges(self, RANGES)
        self._check_evaluations()
        for name in ("run", "out"):
            check_path(name, getattr(self, name))
        if self.torch_device is not None and not isinstance(self.torch_device, str):
            raise SettingError(
                f"torch_device is {shown(self.torch_device)}; it must be a text such as cpu or "
                "cuda:1",
                settings=["torch_device"],
            )

    def _check_targets(self) -> None:
        named = [("target_ms", value) for value in self.targets_ms]
        if self.target_mmacs is not None:
            named.append(("target_mmacs", self.target_mmacs))
        for name, value in named:
            least, most, unit = TARGET_RANGES[name]
            if value is None:  # one of several; `check_real` takes it for left out
                raise SettingError(
                    f"{name} is None for one of the devices; it must be a number", settings=[name]
                )
            check_real(name, value, least, most, unit)

    def _check_evaluations(self) -> None:
        """Check the sizes that are named together; one alone leaves the other to the budget."""
        if self.population is None or self.generations is None:
            return
        try:
            EvolutionConfig.of(self.population, self.generations)
        except TargetError as error:
            raise SettingError(str(error), settings=error.settings) from error

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
