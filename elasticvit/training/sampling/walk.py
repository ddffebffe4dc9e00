"""The level of each step: a walk from level to adjacent level (ElasticViT, section 4.1).

Where levels grow, only the lower ones are walked at first, and the higher ones are let in one
after another: small subnets are trained before large ones (GrowTAS, arXiv 2512.12296).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np


def highest_level(share: float, grow: float, count: int) -> int:
    """Index of the highest level that is let in.

    It rises from 0 in equal parts of the training, and is the last one from `grow` on.

    Args:
        share: Share of the training that is done.
        grow: Share of the training after which all levels are in; 0: they are from the start.
        count: Number of levels.
    """
    return count - 1 if share >= grow else int((count - 1) * share / grow)


def mean_over_rest(values: Sequence[float], grow: float, done: float) -> float:
    """Expected mean, over the rest of the training, of what a step at each level costs.

    The walk visits all levels that are let in equally often.

    Args:
        values: For each level, what a step there costs.
        grow: Share of the training after which all levels are in.
        done: Share of the training that is done, below 1.
    """
    edges = [grow * i / max(1, len(values) - 1) for i in range(len(values))]
    ends = [*edges[1:], 1.0]
    total = sum(
        statistics.fmean(values[: highest + 1]) * max(0.0, end - max(start, done))
        for highest, (start, end) in enumerate(zip(edges, ends, strict=True))
    )
    return total / (1 - done)


class LevelWalk:
    """One level down, the same or one up, with equal chance; a step out of range is a stay.

    Args:
        count: Number of levels.
        rng: Random generator of the steps.
        grow: Share of the training after which all levels are in.
    """

    def __init__(self, count: int, rng: np.random.Generator, grow: float = 0.0) -> None:
        self.count, self.rng, self.grow = count, rng, grow
        self.level: int | None = None

    def step(self, share: float) -> int:
        """The next level.

        Args:
            share: Share of the training that is done.
        """
        highest = highest_level(share, self.grow, self.count)
        if self.level is None:
            self.level = int(self.rng.integers(highest + 1))
        else:
            to = self.level + int(self.rng.integers(-1, 2))
            self.level = to if 0 <= to <= highest else self.level
        return self.level
