"""Draws from the whole space, whatever the complexity: what ElasticViT's levels are held against.

As many subnets are drawn a step as by the level walk, and the smallest one of the space learns
from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.draw import UNIFORM, Draw
from elasticvit.training.sampling.state import SamplerState, check_levels, restore_rng, rng_json


def whole_space(space: SearchSpace, cost: CostModel) -> Levels:
    """The space as a single level, from the cost of its smallest architecture to that of its
    largest."""
    low, high = np.sort(cost.price(ArchBatch.of([space.smallest, space.largest])))
    return Levels(
        unit=cost.unit,
        values=(float(low),),
        bound=max(float(high - low) / 2, float(np.finfo(float).tiny)),
        smallest=(space.smallest,),
    )


class UniformSampler:
    """Uniform draws from the whole space; a `Sampler` of a single level.

    Args:
        space: The search space.
        levels: The space as a single level (`whole_space`).
        seed: Random seed of all draws.
        subnets: Number of sampled subnets a step.
    """

    banks: None = None

    def __init__(self, space: SearchSpace, levels: Levels, *, seed: int, subnets: int = 3) -> None:
        self.space, self._levels, self.subnets = space, levels, subnets
        self.rng = np.random.default_rng(seed)

    @property
    def levels(self) -> Levels:
        return self._levels

    def draw(self, share: float = 0.0) -> Draw:
        """The next step's subnets."""
        return self.draw_at(0)

    def draw_at(self, level: int) -> Draw:
        """Random subnets, and the smallest one that learns from them."""
        return Draw(
            level=level,
            archs=self.random_archs(self.subnets),
            students=(self.space.smallest,),
            chosen=(UNIFORM,) * self.subnets,
        )

    def random_archs(self, n: int) -> tuple[Arch, ...]:
        """`n` architectures of the space."""
        return tuple(self.space.sample(n, self.rng))

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """Nothing is remembered."""

    def state(self) -> SamplerState:
        """The random generator."""
        return SamplerState(values=self.levels.values, level=None, rng=rng_json(self.rng), kept=())

    def restore(self, state: SamplerState) -> None:
        """Go on from a state; raises as `Sampler.restore` does."""
        check_levels(state, self.levels)
        restore_rng(self.rng, state.rng, "sampler.rng")
