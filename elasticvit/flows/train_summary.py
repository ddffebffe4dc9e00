"""Summary of a trained supernet: the accuracies of its panel, and a suggested target latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.errors import EvitError
from elasticvit.flows.train_result import SubnetAccuracy
from elasticvit.space import SearchSpace
from elasticvit.training.panel_result import PanelAccuracy, PanelResult
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.training.levels import Levels

SUGGESTION_SAMPLE = 1000  # architectures whose median latency is suggested


def three_of(result: PanelResult, levels: Levels) -> tuple[SubnetAccuracy, ...]:
    """A small, a middle and a large subnet of a panel.

    Args:
        result: Accuracies of the panel.
        levels: The complexity levels.
    """
    last = len(levels) - 1
    chosen = {"smallest" if len(result.subnets) > 1 else "subnet": result.smallest}
    for level in (len(levels) // 2, last):
        of_level = _of_level(result.subnets, level)
        if of_level is not None:
            chosen[f"at {levels.values[level]:g} {levels.unit}"] = of_level
    return tuple(
        SubnetAccuracy(name=name, arch=s.arch, macs_m=s.macs_m, accuracy=s.accuracy)
        for name, s in chosen.items()
    )


def _of_level(subnets: Sequence[PanelAccuracy], level: int) -> PanelAccuracy | None:
    """The first subnet of a level; None if it has none of its own."""
    return next((subnet for subnet in subnets if subnet.level == level), None)


def suggested_target_ms(workspace: Workspace, space: SearchSpace) -> float | None:
    """Median latency of a space on the device that was profiled last, to two digits; None if no
    device was profiled, or its predictor cannot price the space.

    Args:
        workspace: The workspace with the predictors.
        space: The space of the run, with the data set's number of classes.
    """
    device = workspace.device()
    if device is None:
        return None
    from predictors.workspace_predictors import load_device_predictor

    try:
        cost = load_device_predictor(workspace, device, workspace.precision(device)).cost(space)
        prices = cost.price(space.sample(SUGGESTION_SAMPLE, np.random.default_rng(0)))
    except EvitError:  # a suggestion must not spoil a training that is done
        return None
    return float(f"{float(np.median(prices)):.2g}")
