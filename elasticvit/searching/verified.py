"""The seam between a search and the timing of its finalists on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from elasticvit.arch import ArchBatch
from elasticvit.searching.goal import Goal
from elasticvit.searching.winner import Measured


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What timing said of the finalists of a goal.

    Attributes:
        row: Row of the finalist that is chosen.
        measured: What was timed, in order; empty if nothing could be.
    """

    row: int
    measured: Sequence[Measured] = ()


class Verify(Protocol):
    """Times finalists and chooses the best one that keeps the goal's caps as measured."""

    def __call__(self, goal: Goal, ranked: ArchBatch) -> Verified:
        """Choose among finalists.

        Args:
            goal: The goal, whose caps the finalists keep by prediction.
            ranked: The finalists from the best, at least one.
        """


def unverified(goal: Goal, ranked: ArchBatch) -> Verified:
    """The best finalist by prediction alone."""
    return Verified(row=0)
