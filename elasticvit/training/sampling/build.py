"""The sampler that the settings of a training ask for."""

from __future__ import annotations

from dataclasses import replace

from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.config import TrainConfig
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.adjacent import LevelSampler
from elasticvit.training.sampling.bank import bank_sizes
from elasticvit.training.sampling.banked import BankSampler
from elasticvit.training.sampling.preferring import PreferringSampler
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.sandwich import SandwichSampler
from elasticvit.training.sampling.uniform import UniformSampler, whole_space


def sampled_levels(
    levels: Levels, space: SearchSpace, cost: CostModel, config: TrainConfig
) -> Levels:
    """The complexity levels that a training walks.

    Args:
        levels: The levels of the space (`levels_for`).
        space: The search space.
        cost: Cost that they are measured in.
        config: Settings of the training.

    Returns:
        Its levels, with the smallest subnet of the space at all of them where there is one for
        all; a single level where it has none.
    """
    if config.sampling != "adjacent":
        return whole_space(space, cost)
    if config.hss == 1:
        return replace(levels, smallest=(space.smallest,) * len(levels))
    return levels


def make_sampler(
    space: SearchSpace,
    cost: CostModel,
    levels: Levels,
    config: TrainConfig,
    *,
    seed: int,
    steps: int,
) -> Sampler:
    """The sampler of a training.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The levels that it walks (`sampled_levels`).
        config: Settings of the training.
        seed: Random seed of all draws.
        steps: Number of steps of the whole training, which the size of the banks depends on.
    """
    subnets = config.subnets
    if config.sampling == "uniform":
        return UniformSampler(space, levels, seed=seed, subnets=subnets)
    if config.sampling == "sandwich":
        return SandwichSampler(space, levels, seed=seed, subnets=subnets)
    sampler: Sampler = LevelSampler(
        space,
        cost,
        levels,
        seed=seed,
        subnets=subnets,
        grow=config.grow,
        level_bias=config.level_bias,
    )
    if config.bank:
        sizes = bank_sizes(len(levels), steps * subnets)
        sampler = BankSampler(sampler, sizes, space, cost, seed=seed)
    return PreferringSampler(sampler, space, cost) if config.preference else sampler
