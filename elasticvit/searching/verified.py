"""The seam between a search and the timing of its finalists on devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.goal import Goal
from elasticvit.searching.judge import BoolArray
from elasticvit.searching.winner import Measured

AGAIN = 3  # rankings by corrected costs, at most, until a finalist keeps its caps


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What timing said of the finalists of a goal.

    Attributes:
        row: Row of the finalist that is chosen.
        measured: What was timed, in order; empty if nothing could be.
        kept: Whether the chosen one keeps its caps as measured on every device that is at hand;
            None if nothing was timed, or a device went away before.
        excess: Largest share of a target that the chosen one uses up as measured; infinite if it
            was not timed.
        passed: Rows that miss a cap, as measured or as predicted from what was measured.
        goal: The goal with its costs as they were corrected by what was measured.
        untimed: Why nothing was timed on a device, by its name; of those that are capped.
    """

    row: int
    measured: Sequence[Measured] = ()
    kept: bool | None = None
    excess: float = math.inf
    passed: frozenset[int] = frozenset()
    goal: Goal
    untimed: Mapping[str, str] = field(default_factory=dict)

    def runner_up(self, count: int) -> int | None:
        """Row of the next best finalist, of `count`, that is not known to miss a cap; None if
        there is no other."""
        rows = (row for row in range(self.row + 1, count) if row not in self.passed)
        return next(rows, None)


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
    return Verified(row=0, goal=goal)


class Ranked(Protocol):
    """Finalists from the best, with their accuracies or scores, shape (n,)."""

    @property
    def archs(self) -> ArchBatch: ...

    @property
    def accuracy(self) -> FloatArray: ...


R = TypeVar("R", bound=Ranked)


@dataclass(frozen=True)
class Choice(Generic[R]):
    """Finalists of a goal, and what timing said of them.

    Attributes:
        ranking: The finalists.
        verified: Which of them is chosen, and why.
    """

    ranking: R
    verified: Verified


def choose(goal: Goal, rank: Callable[[Goal], R | None], verify: Verify) -> Choice[R]:
    """Rank the finalists of a goal and let them be timed. If none keeps its caps, those that keep
    them by the costs as corrected by then are ranked and timed, and so on, a few times.

    Args:
        goal: The goal.
        rank: The finalists that keep a goal by prediction; None if there are none. There are some
            for `goal` itself.
        verify: Times them.

    Returns:
        The first ranking with a finalist that keeps its caps, or that cannot be timed; if there is
        none, the one whose chosen finalist comes nearest. Its records are those of all rankings.
    """
    ranking = rank(goal)
    assert ranking is not None, "a goal without finalists"
    best = last = Choice(ranking, verify(goal, ranking.archs))
    measured = list(best.verified.measured)
    for _ in range(AGAIN):
        if last.verified.kept is not False:
            break
        ranking = rank(last.verified.goal)
        if ranking is None:
            break
        last = Choice(ranking, verify(last.verified.goal, ranking.archs))
        measured += [one for one in last.verified.measured if one not in measured]
        if last.verified.kept is not False or last.verified.excess < best.verified.excess:
            best = last
    # of the costs the latest ones hold, whichever ranking is taken
    found = replace(best.verified, measured=tuple(measured), goal=last.verified.goal)
    return Choice(best.ranking, found)


def at_latest_costs(choices: Sequence[Choice[R]], latest: Goal) -> list[Choice[R]]:
    """The choices with the costs that hold at the end of a search, so that one architecture is
    predicted the same for every goal.

    Args:
        choices: What is chosen for each goal.
        latest: The goal that was verified last, with its costs as they were corrected by then.
    """
    return [
        replace(one, verified=replace(one.verified, goal=one.verified.goal.with_costs(latest)))
        for one in choices
    ]


def promising(verified: Sequence[Verified], archs: ArchBatch) -> BoolArray:
    """Which architectures may be shown as keeping a goal, shape (n,): as measured on the devices
    that they were timed on, by the costs as corrected elsewhere; all of them if none does."""
    kept = np.zeros(len(archs), dtype=np.bool_)
    for one in verified:
        kept |= _keeps(one, archs)
    return kept if kept.any() else np.ones(len(archs), dtype=np.bool_)


def _keeps(verified: Verified, archs: ArchBatch) -> BoolArray:
    """Which architectures keep the goal that was verified, shape (n,)."""
    records: dict[Arch, list[Measured]] = {}
    for one in verified.measured:
        records.setdefault(one.arch, []).append(one)
    kept = verified.goal.loads(archs) <= 1
    for row, arch in enumerate(archs):
        if arch not in records:
            continue
        timed = {one.device for one in records[arch]}
        others = tuple(cap for cap in verified.goal.caps if cap.device not in timed)
        kept[row] = all(one.kept for one in records[arch]) and (
            not others or bool(Goal(others).loads(archs.take(slice(row, row + 1)))[0] <= 1)
        )
    return kept
