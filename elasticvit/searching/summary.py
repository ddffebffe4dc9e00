"""Architectures and caps of a finished search as the figures that its result holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.pareto import on_front
from elasticvit.searching.result import FrontPoint, SearchResult
from elasticvit.searching.verified import Choice, R
from elasticvit.searching.winner import CapResult, Winner
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
                threads=None if cap.cpu is None else cap.cpu.threads,
                cores=None if cap.cpu is None else cap.cpu.cores,
                unit=cap.cost.unit,
                target=cap.target,
                predicted=float(cap.cost.price(chosen)[0]),
                upper=None if upper is None else float(upper[0]),
            )
        )
    return tuple(results)


def name_winner(
    space: SearchSpace,
    choice: Choice[R],
    latency: CostModel | None,
    *,
    error: float = 0.0,
    confidence: float | None = None,
    test_accuracy: float | None = None,
) -> Winner:
    """The finalist of a goal that is chosen.

    Args:
        latency: Cost model that the milliseconds come from if the goal caps none; None leaves them
            out.
        error: Standard error of its accuracy.
        confidence: Probability that it is better than the runner-up; None if unknown.
        test_accuracy: Accuracy on the test part in percent; None if it was not tested.
    """
    ranking, verified = choice.ranking, choice.verified
    goal, one = verified.goal, slice(verified.row, verified.row + 1)
    batch, other = ranking.archs.take(one), verified.runner_up(len(ranking.archs))
    (point,) = summarise_archs(space, batch, ranking.accuracy[one], goal.latency or latency)
    return Winner(
        arch=point.arch,
        caps=summarise_caps(goal.caps, batch),
        macs_m=point.macs_m,
        predicted_ms=point.predicted_ms,
        upper_ms=point.upper_ms,
        accuracy=point.accuracy,
        error=error,
        runner_up=None if other is None else ranking.archs[other],
        confidence=confidence,
        test_accuracy=test_accuracy,
        measured=tuple(verified.measured),
        untimed=dict(verified.untimed),
    )


def result_of(winners: Sequence[Winner], **others: Any) -> SearchResult:
    """The result of a search, from the winners of its goals and its other fields; what stands for
    all goals is the first one's."""
    first = winners[0]
    return SearchResult(
        arch=first.arch,
        predicted_ms=first.predicted_ms,
        upper_ms=first.upper_ms,
        macs_m=first.macs_m,
        accuracy=first.accuracy,
        test_accuracy=first.test_accuracy,
        caps=first.caps,
        winners=tuple(winners),
        **others,
    )
