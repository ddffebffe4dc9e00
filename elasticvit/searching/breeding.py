"""One generation: which architectures are parents, and what children they have."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goals
from elasticvit.searching.pareto import ranks
from elasticvit.space import SearchSpace

ROUNDS = 12  # drawings for one generation's children; each asks for four times the need


def select_parents(archive: Archive, count: int) -> ArchBatch:
    """The most accurate architectures, and as many from the first layers of the front of
    accuracy against load, which keep cheap and different genes in play."""
    order = archive.ranking()
    half = count // 2
    layer = ranks(np.stack([archive.load, -archive.accuracy], axis=1))
    by_layer = order[np.argsort(layer[order], kind="stable")]
    top = order[: count - half]
    rest = by_layer[~np.isin(by_layer, top)][:half]
    return archive.archs.take(np.concatenate([top, rest]))


def breed(
    space: SearchSpace,
    goals: Goals,
    parents: ArchBatch,
    config: EvolutionConfig,
    evaluated: Collection[Arch],
    rng: np.random.Generator,
) -> ArchBatch:
    """Distinct children that keep a goal.

    Args:
        parents: Architectures that the children are made from.
        config: Number of children of either kind, and the mutation rate.
        evaluated: Architectures that are not wanted again.

    Returns:
        The children, crossovers first; fewer than wanted when the drawings give no more.
    """
    seen = set(evaluated)
    born: list[ArchBatch] = []
    for kind, need in (("crossover", config.crossover), ("mutation", config.mutation)):
        for _ in range(ROUNDS):
            if need == 0:
                break
            drawn = parents.take(rng.integers(len(parents), size=4 * need))
            if kind == "crossover":
                others = parents.take(rng.integers(len(parents), size=4 * need))
                drawn = space.crossover(drawn, others, rng)
            else:
                drawn = space.mutate(drawn, rng, config.mutation_rate)
            drawn = drawn.take(goals.loads(drawn) <= 1)
            fresh: list[int] = []
            for row, arch in enumerate(drawn):
                if len(fresh) == need:
                    break
                if arch not in seen:
                    seen.add(arch)
                    fresh.append(row)
            need -= len(fresh)
            born.append(drawn.take(np.array(fresh, dtype=np.int64)))
    return parents.take(slice(0, 0)).concat(*born)
