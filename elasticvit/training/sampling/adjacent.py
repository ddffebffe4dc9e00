"""The level walk with uniform draws within the level: complexity-aware sampling of ElasticViT
(section 4.1), without what it remembers of good subnets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.draw import UNIFORM, Draw
from elasticvit.training.sampling.reservoir import Reservoir
from elasticvit.training.sampling.state import (
    SamplerState,
    check_levels,
    damaged,
    restore_rng,
    rng_json,
)
from elasticvit.training.sampling.walk import LevelWalk, visits


class LevelSampler:
    """Adjacent level walk with uniform draws within the level; a `Sampler`.

    The smallest subnet of the level learns from the subnets that are drawn there.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        seed: Random seed of all draws.
        subnets: Number of sampled subnets a step.
        grow: Share of the training after which all levels are in; see `walk.highest_level`.
        level_bias: How much more often cheap levels are visited; see `walk.visits`.
    """

    banks: None = None

    def __init__(
        self,
        space: SearchSpace,
        cost: CostModel,
        levels: Levels,
        *,
        seed: int,
        subnets: int = 3,
        grow: float = 0.0,
        level_bias: float = 0.0,
    ) -> None:
        self._levels, self.subnets = levels, subnets
        self.rng = np.random.default_rng(seed)
        self.reservoir = Reservoir(space, cost, levels, self.rng)
        self.walk = LevelWalk(visits(levels.values, level_bias), self.rng, grow)

    @property
    def levels(self) -> Levels:
        return self._levels

    def draw(self, share: float = 0.0) -> Draw:
        """The next step's subnets; raises as `Sampler.draw` does."""
        return self.draw_at(self.walk.step(share))

    def draw_at(self, level: int) -> Draw:
        """Subnets of a level, without moving the walk; raises as `Sampler.draw_at` does."""
        return Draw(
            level=level,
            archs=tuple(self.reservoir.draw(level, self.subnets)),
            students=(self.levels.smallest[level],),
            chosen=(UNIFORM,) * self.subnets,
        )

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """Nothing is remembered."""

    def state(self) -> SamplerState:
        """Current level, random generator and reservoirs."""
        return SamplerState(
            values=self.levels.values,
            level=self.walk.level,
            rng=rng_json(self.rng),
            kept=self.reservoir.state(),
        )

    def restore(self, state: SamplerState) -> None:
        """Go on from a state; raises as `Sampler.restore` does."""
        check_levels(state, self.levels)
        count = len(self.levels)
        if state.level is not None and state.level >= count:
            raise damaged(f"level {state.level}; there are {count} levels")
        self.reservoir.restore(state.kept)
        restore_rng(self.rng, state.rng, "sampler.rng")
        self.walk.level = state.level
