"""Targets of a search for a whole front: a range of one cost in even ratios."""

from __future__ import annotations

import math

import numpy as np

from elasticvit.cost import CostModel
from elasticvit.errors import SettingError
from elasticvit.flows.search_targets import Targets, all_targets
from elasticvit.searching.caps import Cap, reach
from elasticvit.space import SearchSpace

DIGITS = 3  # of a target


def check_front(settings: Targets, devices: int) -> None:
    """Check what a search for a front is asked to cap.

    Args:
        settings: The targets.
        devices: Number of devices that are named.

    Raises:
        SettingError: A target is a list of goals, or no target tells which of several devices the
            front is of.
    """
    for one in all_targets(settings):
        if len(one.values) > 1:
            raise SettingError(
                f"front and a list of {len(one.values)} goals ({one.name}) are both named; a front "
                "has targets of its own, so name one number, which no target of it exceeds",
                settings=["front", one.setting],
            )
    if devices > 1 and not (settings.targets_ms or settings.named_targets):
        raise SettingError(
            f"front is named with {devices} devices and no latency; name one device, or a target "
            "for each of them: the front is that of the first one",
            settings=["front", "device"],
        )


def front_targets(
    cost: CostModel, space: SearchSpace, count: int, most: float | None
) -> tuple[float, ...]:
    """Rising targets, each the same number of times the one before it: from above the lowest cost
    of the space to its highest, rounded up; fewer than `count` where they would be the same.

    Args:
        cost: The cost, whose upper bound is what a target caps if it has one.
        space: The space.
        count: Number of targets.
        most: The last target, unless the space's highest cost is lower; None for that one.
    """
    can = reach(space, Cap(cost=cost, target=1.0).bound, np.random.default_rng(0))
    highest = _rounded_up(can.high)
    top = highest if most is None else min(most, highest)
    if top <= can.low:  # at most one architecture keeps it, or none
        return (top,)
    ratio = top / can.low
    steps = (can.low * ratio ** (number / count) for number in range(1, count))
    return tuple(sorted({min(_rounded_up(step), top) for step in steps} | {top}))


def _rounded_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) + 1 - DIGITS)
    rounded = float(f"{math.ceil(value / unit) * unit:.{DIGITS}g}")
    return rounded if rounded >= value else value
