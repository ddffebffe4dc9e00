"""Uniform draws from the band of a complexity level.

Drawing one at a time until one fits takes thousands of tries, so a reservoir a level is filled by
pricing tens of thousands at once and keeping all that fit: the same distribution, thousands of
times faster (`benchmarks/sampling.py`).
"""

from __future__ import annotations

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import GeneArray
from elasticvit.cost import CostModel
from elasticvit.errors import TargetError
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.state import Genes, check_genes, damaged

CHUNK = 16_384  # architectures priced at a time
CAPACITY = 512  # kept a level
TRIES = 256  # chunks without a single hit before a level counts as empty


class Reservoir:
    """Uniform draws from the band of a level.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        rng: Random generator of all draws.
    """

    def __init__(
        self, space: SearchSpace, cost: CostModel, levels: Levels, rng: np.random.Generator
    ) -> None:
        self.space, self.cost, self.levels, self.rng = space, cost, levels, rng
        empty = np.empty((0, len(space.names)), dtype=np.int16)
        self.kept: list[GeneArray] = [empty] * len(levels)

    def draw(self, level: int, n: int) -> ArchBatch:
        """`n` architectures of a level, none of which is drawn again.

        Raises:
            TargetError: No architecture within the band was found among millions of draws.
        """
        drawn: list[GeneArray] = []
        missing, misses = n, 0
        while True:
            drawn.append(self.kept[level][:missing])
            self.kept[level] = self.kept[level][missing:]
            missing -= len(drawn[-1])
            if not missing:
                return ArchBatch(np.concatenate(drawn), self.space.layout.n_conv)
            self._refill(level)
            misses = 0 if len(self.kept[level]) else misses + 1
            if misses == TRIES:
                low, high = self.levels.band(level)
                raise TargetError(
                    f"no architecture of space {self.space.name} with {low:g} to {high:g} "
                    f"{self.levels.unit} was found among {TRIES * CHUNK:,} draws; choose other "
                    "levels"
                )

    def _refill(self, level: int) -> None:
        """Price one chunk and keep what fits this level or one with the same lower bound."""
        at_least = self.levels.smallest[level]
        batch = self.space.sample(CHUNK, self.rng, at_least)
        prices = self.cost.price(batch)
        for other, smallest in enumerate(self.levels.smallest):
            room = CAPACITY - len(self.kept[other])
            if smallest != at_least or room <= 0:
                continue
            low, high = self.levels.band(other)
            hits = np.flatnonzero((prices >= low) & (prices <= high))[:room]
            self.kept[other] = np.concatenate([self.kept[other], batch.genes[hits]])

    def state(self) -> tuple[tuple[Genes, ...], ...]:
        """For each level the genes of the architectures that are left."""
        return tuple(tuple(map(tuple, genes.tolist())) for genes in self.kept)

    def restore(self, kept: tuple[tuple[Genes, ...], ...]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is of other levels or another space.
        """
        if len(kept) != len(self.levels):
            raise damaged(f"{len(kept)} reservoirs; there are {len(self.levels)} levels")
        self.kept = [check_genes(rows, self.space, CAPACITY).genes for rows in kept]
