"""The level of each step: a walk from level to adjacent level (ElasticViT, section 4.1).

The paper's walk visits all levels equally often, so most of its time goes to the largest subnets.
With a bias it visits cheap levels more often: the same time buys more steps, and all subnets share
what they learn. Where levels grow, only the lower ones are walked at first, and the higher ones are
let in one after another: small subnets are trained before large ones (GrowTAS, arXiv 2512.12296).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arrays import FloatArray


def highest_level(share: float, grow: float, count: int) -> int:
    """Index of the highest level that is let in.

    It rises from 0 in equal parts of the training, and is the last one from `grow` on.

    Args:
        share: Share of the training that is done.
        grow: Share of the training after which all levels are in; 0: they are from the start.
        count: Number of levels.
    """
    return count - 1 if share >= grow else int((count - 1) * share / grow)


def visits(costs: Sequence[float], bias: float) -> FloatArray:
    """How often a walk visits each level, in proportion to the first one.

    Args:
        costs: Cost of each level, above 0, in any unit.
        bias: A level is visited in proportion to its cost to the power of minus this.

    Returns:
        Shares (levels,); 1 for the first one.
    """
    ratios = np.asarray(costs, dtype=np.float64) / costs[0]
    shares: FloatArray = ratios**-bias
    return shares


def mean_over_rest(
    values: Sequence[float], shares: Sequence[float] | FloatArray, grow: float, done: float
) -> float:
    """Expected mean, over the rest of the training, of what a step at each level costs.

    Args:
        values: For each level, what a step there costs.
        shares: How often the walk visits each level, in any proportion (`visits`).
        grow: Share of the training after which all levels are in.
        done: Share of the training that is done, below 1.
    """
    edges = [grow * i / max(1, len(values) - 1) for i in range(len(values))]
    ends = [*edges[1:], 1.0]
    total = sum(
        float(np.average(values[: highest + 1], weights=shares[: highest + 1]))
        * max(0.0, end - max(start, done))
        for highest, (start, end) in enumerate(zip(edges, ends, strict=True))
    )
    return total / (1 - done)


class LevelWalk:
    """One level down, the same or one up, with equal chance; a step out of range is a stay.

    A step to a level that is to be visited less often is taken with the ratio of their shares as
    its probability, and is a stay otherwise (Metropolis et al., 1953).

    Args:
        shares: How often to visit each level, in any proportion (`visits`).
        rng: Random generator of the steps.
        grow: Share of the training after which all levels are in.
    """

    def __init__(
        self, shares: Sequence[float] | FloatArray, rng: np.random.Generator, grow: float = 0.0
    ) -> None:
        self.shares, self.rng, self.grow = shares, rng, grow
        self.level: int | None = None

    def step(self, share: float) -> int:
        """The next level.

        Args:
            share: Share of the training that is done.
        """
        highest = highest_level(share, self.grow, len(self.shares))
        if self.level is None:
            self.level = int(self.rng.integers(highest + 1))
        else:
            to = self.level + int(self.rng.integers(-1, 2))
            if 0 <= to <= highest and self._taken(self.shares[to] / self.shares[self.level]):
                self.level = to
        return self.level

    def _taken(self, ratio: float) -> bool:
        return ratio >= 1 or self.rng.random() < ratio
