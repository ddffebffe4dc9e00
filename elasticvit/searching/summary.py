"""Architectures and caps of a finished search as the figures that its result holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.pareto import on_front
from elasticvit.searching.result import FrontPoint
from elasticvit.searching.winner import CapResult
from elasticvit.space import SearchSpace


def summarise_archs(
    space: SearchSpace,
    archs: ArchBatch,
    accuracy: FloatArray,
    latency: CostModel | None,
    caps: Sequence[Cap] = (),
) -> list[FrontPoint]:
    """Figures of architectures.

    Args:
        accuracy: Accuracies in percent, shape (n,).
        latency: Cost model that the milliseconds come from; None leaves them out.
        caps: Caps whose costs are among the figures.
    """
    costs = np.array([cap.cost.price(archs) for cap in caps]).reshape(len(caps), len(archs))
    macs_m = MacsCost(space).price(archs)
    predicted_ms = None if latency is None else latency.price(archs)
    upper_ms = None if latency is None else latency.upper(archs)
    return [
        FrontPoint(
            arch=arch,
            predicted_ms=None if predicted_ms is None else float(predicted_ms[i]),
            upper_ms=None if upper_ms is None else float(upper_ms[i]),
            macs_m=float(macs_m[i]),
            accuracy=float(accuracy[i]),
            costs=tuple(costs[:, i].tolist()),
        )
        for i, arch in enumerate(archs)
    ]


def front_of(points: Sequence[FrontPoint]) -> tuple[FrontPoint, ...]:
    """The points that no other beats in accuracy and all their costs, cheapest in the first cost
    first."""
    figures = np.array([(*point.costs, -point.accuracy) for point in points])
    rows = np.flatnonzero(on_front(figures))
    return tuple(points[i] for i in rows[np.argsort(figures[rows, 0], kind="stable")])


def summarise_caps(caps: Sequence[Cap], chosen: ArchBatch) -> tuple[CapResult, ...]:
    """What the chosen architecture (a batch of one) uses of each cap."""
    results = []
    for cap in caps:
        upper = cap.cost.upper(chosen)
        results.append(
            CapResult(
                device=cap.device,
                source=cap.source,
                precision=cap.precision,
                unit=cap.cost.unit,
                target=cap.target,
                predicted=float(cap.cost.price(chosen)[0]),
                upper=None if upper is None else float(upper[0]),
            )
        )
    return tuple(results)
