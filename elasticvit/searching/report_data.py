"""What the report of a search shows, as plain data that a job fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goals
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.result import SearchResult
from elasticvit.searching.winner import Winner
from elasticvit.space import SearchSpace


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchPage:
    """Content of the report of a search.

    Attributes:
        result: The result.
        space: The space.
        goals: The goals, their costs as they were known last.
        archs: Everything that was evaluated, in order, n architectures.
        accuracy: Accuracies or scores of these as they were seen, shape (n,).
        images: Number of images of each of these accuracies; 0 for scores.
        again: Standard errors of those that were judged again, by architecture.
        foreseen, judged: What the accuracy predictor expected of each architecture that it chose,
            and what that was judged at; empty without one.
        latency: Cost model of milliseconds that are shown where none are capped; None for none.
        took_s: Seconds since the search was last started; None if unknown.
    """

    result: SearchResult
    space: SearchSpace
    goals: Goals
    archs: ArchBatch
    accuracy: FloatArray
    images: int = 0
    again: Mapping[Arch, float] = field(default_factory=dict)
    foreseen: FloatArray = field(default_factory=lambda: np.empty(0))
    judged: FloatArray = field(default_factory=lambda: np.empty(0))
    latency: CostModel | None = None
    took_s: float | None = None

    @property
    def winners(self) -> Sequence[Winner]:
        """What was chosen for each goal, in their order."""
        return self.result.goals

    @property
    def what(self) -> str:
        """What the figures are, in a word."""
        return "accuracy" if self.result.has_weights else "score"

    @property
    def axis(self) -> str:
        """What an axis with the figures is called."""
        own = self.result.has_weights
        return "accuracy, %" if own else f"score ({self.result.accuracy_source})"

    @property
    def errors(self) -> FloatArray:
        """Standard errors of the accuracies, shape (n,); zero for scores."""
        if not self.images:
            return np.zeros(len(self.archs))
        return standard_errors(self.accuracy, self.images)

    def figure(self, value: float, error: float = 0.0) -> str:
        """A figure with its standard error where that is known, for people."""
        text = f"{value:.2f}" + (f" ± {error:.2f}" if error else "")
        return f"{text} %" if self.result.has_weights else text

    @property
    def capped_costs(self) -> list[CostModel]:
        """The costs that are capped, each once, as they were known last."""
        found = {_key(cap.cost): cap.cost for cap in self.goals.caps}
        return list(found.values())

    @property
    def shown_costs(self) -> list[CostModel]:
        """The capped costs, then the latency and the multiply-accumulates if they are not among
        them."""
        found = {_key(cost): cost for cost in self.capped_costs}
        for cost in (self.latency, MacsCost(self.space)):
            if cost is not None:
                found.setdefault(_key(cost), cost)
        return list(found.values())

    def caps_of(self, cost: CostModel) -> list[tuple[int, int, Cap]]:
        """The caps on a cost, each with the index of its goal and its own in that goal."""
        return [
            (number, index, cap)
            for number, goal in enumerate(self.goals)
            for index, cap in enumerate(goal.caps)
            if _key(cap.cost) == _key(cost)
        ]

    def described(
        self, archs: ArchBatch, values: Sequence[float], errors: Sequence[float]
    ) -> list[str]:
        """A text for each architecture: its genes, its figure and its costs."""
        texts = [
            f"{arch}\n{self.figure(value, error)}"
            for arch, value, error in zip(archs, values, errors, strict=True)
        ]
        for cost in self.shown_costs:
            uppers = cost.upper(archs)
            for i, price in enumerate(cost.price(archs)):
                bound = "" if uppers is None else f" (upper bound {uppers[i]:.4g})"
                texts[i] += f"\n{cost_title(cost)} {price:.4g} {cost.unit}{bound}"
        return texts


def _key(cost: CostModel) -> tuple[str, str]:
    return cost.name, cost.unit


def cost_title(cost: CostModel) -> str:
    """Name of a cost for people."""
    return "multiply-accumulates" if cost.name == MacsCost.name else cost.name


def price_of(cost: CostModel, arch: Arch) -> float:
    """Cost of one architecture."""
    return float(cost.price(ArchBatch.of([arch]))[0])
