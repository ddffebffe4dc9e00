"""Goals of a search: caps that one architecture must keep at once. A search has one or more goals,
such as 10, 15 and 20 ms on one phone, and judges architectures for all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.searching.caps import Cap, find_feasible, fingerprint, loads
from elasticvit.searching.population import initial_population
from elasticvit.space import SearchSpace


@dataclass(frozen=True)
class Goal:
    """Caps that hold together.

    Attributes:
        caps: The caps, at least one; the first one's cost is the axis of the front.
    """

    caps: tuple[Cap, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.caps))

    @property
    def latency(self) -> CostModel | None:
        """Cost of the first device whose latency is capped; None if none is."""
        return next((cap.cost for cap in self.caps if cap.device is not None), None)

    def loads(self, batch: ArchBatch) -> FloatArray:
        """Largest share of a target that each architecture uses up, shape (n,)."""
        return loads(self.caps, batch)

    def with_costs(self, other: Goal) -> Goal:
        """The same targets, with the costs of another goal of the search in place of its own."""
        pairs = zip(self.caps, other.caps, strict=True)
        return Goal(tuple(replace(cap, cost=latest.cost) for cap, latest in pairs))


@dataclass(frozen=True)
class Goals:
    """All goals of a search.

    Attributes:
        goals: The goals, at least one; each limits the same costs.
        front: Whether they span a range of the first cap's cost, so that the whole front of
            accuracy against it is searched for, and not what is best for each goal alone. The other
            caps are then the same for all.
    """

    goals: tuple[Goal, ...]
    front: bool = False

    @classmethod
    def of(cls, limits: Goals | Sequence[Cap]) -> Goals:
        """The goals themselves, or the one goal of some caps."""
        return limits if isinstance(limits, Goals) else cls((Goal(tuple(limits)),))

    def __iter__(self) -> Iterator[Goal]:
        return iter(self.goals)

    def __len__(self) -> int:
        return len(self.goals)

    def __getitem__(self, index: int) -> Goal:
        return self.goals[index]

    @property
    def caps(self) -> tuple[Cap, ...]:
        """The caps of all goals, goal by goal."""
        return tuple(cap for goal in self.goals for cap in goal.caps)

    def loads(self, batch: ArchBatch) -> FloatArray:
        """Smallest load over the goals, shape (n,): at most 1 where any goal is kept."""
        least: FloatArray = np.min([goal.loads(batch) for goal in self.goals], axis=0)
        return least

    def tightest_first(self) -> list[int]:
        """Numbers of the goals, from 0, so that none stands before one whose caps are all lower."""
        return sorted(range(len(self)), key=lambda i: [cap.target for cap in self.goals[i].caps])

    def fingerprint(self, space: SearchSpace) -> str:
        """Text that differs when the space, a target or what a cost says differs."""
        text = "+".join(fingerprint(space, goal.caps) for goal in self.goals)
        return f"front {text}" if self.front else text

    def feasible(self, space: SearchSpace, rng: np.random.Generator) -> tuple[Arch, ...]:
        """For each goal an architecture that keeps it.

        Raises:
            TargetError: no architecture keeps one of them.
        """
        return tuple(find_feasible(space, goal.caps, rng) for goal in self.goals)

    def population(
        self,
        space: SearchSpace,
        count: int,
        rng: np.random.Generator,
        *,
        feasible: Sequence[Arch] | None = None,
        seeds: ArchBatch | None = None,
    ) -> ArchBatch:
        """Distinct architectures that keep a goal: the seeds that do, at most half of all, and for
        each goal as many others, their loads spread up to its caps; for a front as many in all,
        spread from the cheapest up to the highest caps.

        Raises:
            TargetError: no architecture keeps one of the goals.
        """
        start = space.sample(0, rng)
        if seeds is not None and len(seeds):
            kept = seeds.take(space.valid(seeds))
            kept = kept.take(self.loads(kept) <= 1).unique()
            start = start.concat(kept.take(rng.permutation(len(kept))[: count // 2]))
        left = count - len(start)
        if self.front:
            widest = self.tightest_first()[-1]
            own = None if feasible is None else feasible[widest]
            drawn = initial_population(
                space, self[widest].caps, left, rng, feasible=own, lowest_share=0.0
            )
            return start.concat(drawn).distinct()
        shares = [left * (i + 1) // len(self) - left * i // len(self) for i in range(len(self))]
        for i, (goal, share) in enumerate(zip(self.goals, shares, strict=True)):
            if share:
                own = None if feasible is None else feasible[i]
                drawn = initial_population(space, goal.caps, share, rng, feasible=own)
                start = start.concat(drawn)
        return start.distinct()
