"""The level of each step: a walk from level to adjacent level (ElasticViT, section 4.1).

Where levels grow, only the lower ones are walked at first, and the higher ones are let in one
after another: small subnets are trained before large ones (GrowTAS, arXiv 2512.12296).
"""

from __future__ import annotations

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
