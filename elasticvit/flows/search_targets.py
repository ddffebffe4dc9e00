"""Targets of a search as its settings name them: latencies of devices, and costs of any device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from elasticvit.cost import CostModel, MacsCost
from elasticvit.cost_memory import MemoryCost
from elasticvit.cost_parameters import ParameterCost
from elasticvit.cost_size import SizeCost
from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_real
from elasticvit.names import check_name
from elasticvit.reading import shown
from elasticvit.space import SearchSpace

LEAST, MOST = 1e-6, 1e9  # of every target
MOST_GOALS = 64
MILLISECONDS = "milliseconds"


@dataclass(frozen=True)
class Limited:
    """A cost that can be capped without a device.

    Attributes:
        unit: What a target counts, for people.
        cost: Kind of the cost model.
    """

    unit: str
    cost: type[MacsCost | ParameterCost | MemoryCost | SizeCost]

    def model(self, space: SearchSpace, precision: str) -> CostModel:
        """The cost model of a space, for files of a precision."""
        return SizeCost(space, precision) if self.cost is SizeCost else self.cost(space)


COSTS: Mapping[str, Limited] = {  # by the name that `SearchSettings.target` has for it
    "mmacs": Limited("millions of multiply-accumulates", MacsCost),
    "params": Limited("millions of parameters", ParameterCost),
    "memory": Limited("megabytes of activations", MemoryCost),
    "size": Limited("megabytes of file", SizeCost),
}


class Targets(Protocol):
    """The settings of a search that name targets (`SearchSettings`)."""

    @property
    def target(self) -> Mapping[str, Any] | None: ...

    @property
    def target_mmacs(self) -> Any: ...

    @property
    def targets_ms(self) -> tuple[tuple[float, ...], ...]: ...

    @property
    def named_targets(self) -> dict[str, tuple[float, ...]]: ...


@dataclass(frozen=True, kw_only=True)
class NamedTargets:
    """The targets of one cost, that of each goal or one for all.

    Attributes:
        name: What messages call them, such as `target_ms` or `target pixel6`.
        setting: The setting that they stand in.
        unit: What they count.
        values: The targets.
    """

    name: str
    setting: str
    unit: str
    values: tuple[Any, ...]

    def check(self) -> None:
        """Check the values.

        Raises:
            SettingError: One is no number within the limits or there twice, or there are too many.
        """
        for value in self.values:
            if value is None:  # one of several; `check_real` takes it for left out
                raise SettingError(
                    f"{self.name} is None for one of the devices; it must be a number",
                    settings=[self.setting],
                )
            check_real(self.name, value, LEAST, MOST, self.unit, setting=self.setting)
        if len(set(self.values)) < len(self.values) or not 1 <= len(self.values) <= MOST_GOALS:
            told = ", ".join(f"{value:g}" for value in self.values) or "empty"
            raise SettingError(
                f"{self.name} is {told}; a list of goals has from 1 to {MOST_GOALS} different "
                "targets",
                settings=[self.setting],
            )


def all_targets(settings: Targets) -> Iterator[NamedTargets]:
    """Iterate over everything that a search caps, latencies first."""
    for values in settings.targets_ms:
        yield NamedTargets(name="target_ms", setting="target_ms", unit=MILLISECONDS, values=values)
    for name, values in settings.named_targets.items():
        yield NamedTargets(
            name=f"target {name}", setting="target", unit=MILLISECONDS, values=values
        )
    if settings.target_mmacs is not None:
        yield NamedTargets(
            name="target_mmacs",
            setting="target_mmacs",
            unit=COSTS["mmacs"].unit,
            values=several(settings.target_mmacs),
        )
    for name, value in (settings.target or {}).items():
        if name in COSTS:
            yield NamedTargets(
                name=f"target {name}",
                setting="target",
                unit=COSTS[name].unit,
                values=several(value),
            )


def check_targets(settings: Targets) -> None:
    """Check the targets of a search by themselves.

    Raises:
        SettingError: `target` is no mapping, a value makes no sense, lists of goals are not equally
            long, or two settings cap the same.
    """
    if settings.target is not None and not isinstance(settings.target, Mapping):
        raise SettingError(
            f"target is {shown(settings.target)}; it must be a mapping of devices or costs to "
            "their targets, such as {'pixel6': 30} or {'params': 5}",
            settings=["target"],
        )
    targets = list(all_targets(settings))
    for one in targets:
        one.check()
    counts: dict[int, str] = {}
    for one in targets:
        if len(one.values) > 1:
            counts.setdefault(len(one.values), one.name)
    if len(counts) > 1:
        told = " and ".join(f"{name} has {count}" for count, name in counts.items())
        raise SettingError(
            f"{told} goals; lists of targets go together one by one, so they must be equally long",
            settings=sorted({one.setting for one in targets if len(one.values) > 1}),
        )
    for name in settings.named_targets:
        check_name("device", name, SettingError, "target")
    if settings.targets_ms and settings.named_targets:
        raise SettingError(
            f"target_ms and target {next(iter(settings.named_targets))} both name latencies; use "
            "one of them",
            settings=["target_ms", "target"],
        )
    if settings.target_mmacs is not None and "mmacs" in (settings.target or {}):
        raise SettingError(
            "target_mmacs and target mmacs are both named; use one of them",
            settings=["target_mmacs", "target"],
        )


def several(value: Any) -> tuple[Any, ...]:
    """The targets of all goals, which are not checked yet."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
