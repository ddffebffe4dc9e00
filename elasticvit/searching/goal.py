"""A goal of a search: caps that one architecture must keep at once. A search has one or more goals,
such as 10, 15 and 20 ms on one phone, and judges architectures for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.caps import Cap, loads


@dataclass(frozen=True)
class Goal:
    """Caps that hold together.

    Attributes:
        caps: The caps, at least one; the first one's cost is the axis of the front.
    """

    caps: tuple[Cap, ...]

    def __str__(self) -> str:
        return " and ".join(f"{cap.target:g} {cap.cost.unit}" for cap in self.caps)

    def loads(self, batch: ArchBatch) -> FloatArray:
        """Largest share of a target that each architecture uses up, shape (n,)."""
        return loads(self.caps, batch)


def least_loads(goals: Sequence[Goal], batch: ArchBatch) -> FloatArray:
    """Smallest load over the goals, shape (n,): at most 1 where any goal is kept."""
    least: FloatArray = np.min([goal.loads(batch) for goal in goals], axis=0)
    return least
