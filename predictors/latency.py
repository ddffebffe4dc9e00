"""Latency as a cost: interchangeable with multiply-accumulates everywhere."""

from __future__ import annotations

from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace
from predictors.predictor import load_device
from predictors.pricing import ExtrapolationWarning, LatencyCost

__all__ = ["ExtrapolationWarning", "LatencyCost", "load_latency_cost"]


def load_latency_cost(
    workspace: Workspace, device: str, space: SearchSpace, *, extrapolate: bool = False
) -> LatencyCost:
    """The cost of a device that was profiled, or whose table was imported, in a workspace.

    Raises:
        PredictorError: no predictor of that name (the ones there are named), or it cannot
            price the space.
    """
    return LatencyCost(load_device(workspace, device), space, extrapolate=extrapolate)
