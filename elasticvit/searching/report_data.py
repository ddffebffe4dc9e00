"""What the report of a search shows, as plain data that a job fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel, MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal
from elasticvit.searching.judge import Judged
from elasticvit.searching.winner import Agreement, Winner
from elasticvit.space import SearchSpace


@dataclass(frozen=True, kw_only=True, eq=False)
class Judgements:
    """Architectures with their figures.

    Attributes:
        archs: The architectures, n of them, in the order in which they were judged.
        judged: Their accuracies or scores.
        images: Number of images of each figure; 0 where images play no part.
    """

    archs: ArchBatch
    judged: Judged
    images: int = 0

    @classmethod
    def of_shares(cls, archs: ArchBatch, accuracy: FloatArray, images: int) -> Judgements:
        """Judgements from accuracies in percent on a number of images, shape (n,): the standard
        error is that of a share, as `Judged.of` gives it."""
        smoothed = (accuracy / 100 * images + 1) / (images + 2)
        error = 100 * np.sqrt(smoothed * (1 - smoothed) / images)
        return cls(archs=archs, judged=Judged(accuracy=accuracy, error=error), images=images)

    def take(self, rows: np.ndarray) -> Judgements:
        """Those at some rows, without what was right on single images."""
        judged = Judged(accuracy=self.judged.accuracy[rows], error=self.judged.error[rows])
        return replace(self, archs=self.archs.take(rows), judged=judged)


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchPage:
    """Content of the report of a search.

    Attributes:
        name: Name of the search.
        space: Space that was searched.
        data: Data set; None if there was none.
        weights: Where the weights come from, such as a folder; None without a supernet.
        source: What the figures are, as `Judge.name` says it.
        proxy: Whether the figures are scores and no accuracies.
        evaluated: All architectures that the search judged, in that order.
        finalists: Those that were judged again with more images; None if none were.
        predicted: What the accuracy predictor said of each evaluated architecture before it was
            judged, shape (n,); NaN where it said nothing. None without a predictor.
        agreement: How well it ranked them; None if unknown.
        goals: The goals, at least one.
        winners: What was found for each goal, in the same order.
        latency: Cost model of the milliseconds that are shown besides the caps; None for none.
        test_images: Number of images of the test accuracies.
        took_s: Seconds that the search took since it was last started; None if unknown.
        complete: Whether the search was done; False when its time was up before.
        notes: Sentences that the reader must know, shown at the top.

    Raises:
        ValueError: Goals and winners, or predictions and architectures, are not of one number.
    """

    name: str
    space: SearchSpace
    data: str | None
    weights: str | None
    source: str
    proxy: bool = False
    evaluated: Judgements
    finalists: Judgements | None = None
    predicted: FloatArray | None = None
    agreement: Agreement | None = None
    goals: Sequence[Goal]
    winners: Sequence[Winner]
    latency: CostModel | None = None
    test_images: int | None = None
    took_s: float | None = None
    complete: bool = True
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if len(self.goals) != len(self.winners):
            raise ValueError(f"{len(self.winners)} winners of {len(self.goals)} goals")
        if self.predicted is not None and len(self.predicted) != len(self.evaluated.archs):
            raise ValueError(
                f"{len(self.predicted)} predictions of {len(self.evaluated.archs)} architectures"
            )

    @property
    def unit(self) -> str:
        """Unit of the figures with a blank before it; empty for the scores of a proxy."""
        return "" if self.proxy else " %"

    @property
    def figure_name(self) -> str:
        """What an axis with the figures is called."""
        return "score of the proxy" if self.proxy else "accuracy, %"

    def figure(self, accuracy: float, error: float) -> str:
        """A figure with its standard error where that is known, for people."""
        if self.proxy:
            return f"{accuracy:.4g}" + (f" ± {error:.2g}" if error else "")
        return f"{accuracy:.2f}" + (f" ± {error:.2f}" if error else "") + " %"

    @property
    def best_judged(self) -> Judgements:
        """What the front is drawn from: the finalists, or all that was evaluated."""
        return self.finalists or self.evaluated

    @property
    def capped_costs(self) -> list[CostModel]:
        """The costs that are capped, each once, in the order of the goals."""
        found = {cost_name(cap.cost): cap.cost for goal in self.goals for cap in goal.caps}
        return list(found.values())

    @property
    def shown_costs(self) -> list[CostModel]:
        """The capped costs, then the latency and the multiply-accumulates if they are not among
        them."""
        more = [*([] if self.latency is None else [self.latency]), MacsCost(self.space)]
        found = {cost_name(cost): cost for cost in [*self.capped_costs, *more][::-1]}
        return list(found.values())[::-1]

    def caps_of(self, cost: CostModel) -> list[tuple[int, Cap]]:
        """The caps on a cost, each with the index of its goal."""
        return [
            (index, cap)
            for index, goal in enumerate(self.goals)
            for cap in goal.caps
            if cost_name(cap.cost) == cost_name(cost)
        ]

    def described(self, judgements: Judgements) -> list[str]:
        """A text for each architecture: its genes, its figure and its costs."""
        archs, judged = judgements.archs, judgements.judged
        texts = [
            f"{arch}\n{self.figure(accuracy, error)}"
            for arch, accuracy, error in zip(archs, judged.accuracy, judged.error, strict=True)
        ]
        for cost in self.shown_costs:
            uppers = cost.upper(archs)
            for i, price in enumerate(cost.price(archs)):
                bound = "" if uppers is None else f" (upper bound {uppers[i]:.4g})"
                texts[i] += f"\n{cost_title(cost)} {price:.4g} {cost.unit}{bound}"
        return texts


def cost_name(cost: CostModel) -> tuple[str, str]:
    """What tells costs of one space apart."""
    return cost.name, cost.unit


def cost_title(cost: CostModel) -> str:
    """Name of a cost for people."""
    return "multiply-accumulates" if cost.name == "macs" else cost.name


def price_of(cost: CostModel, arch: Arch) -> float:
    """Cost of one architecture."""
    return float(cost.price(ArchBatch.of([arch]))[0])
