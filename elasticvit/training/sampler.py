"""Which subnets the next training step runs: conflict-aware sampling of a level.

The level walks one step down, stays or goes one step up; its subnets are uniform among the
architectures of its band. Drawing one at a time until one fits takes thousands of tries, so
a reservoir a level is filled by pricing tens of thousands at once and keeping all that fit:
the same distribution, thousands of times faster (`benchmarks/sampling.py`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec
import numpy as np
from msgspec import Meta

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import GeneArray
from elasticvit.cost import CostModel
from elasticvit.errors import CheckpointError, TargetError
from elasticvit.reading import Count, Format, shown
from elasticvit.rng_state import RngState
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import FRESH

CHUNK = 16_384  # architectures priced at a time
Gene = Annotated[int, Meta(ge=1, le=32_767)]
CAPACITY = 512  # kept a level
TRIES = 256  # chunks without a single hit before a level counts as empty


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What one training step runs.

    Attributes:
        level: Index of the complexity level.
        archs: The sampled subnets, all within the band of the level.
        smallest: Smallest subnet of the level, which learns from the others; None for none.
    """

    level: int
    archs: tuple[Arch, ...]
    smallest: Arch | None


class SamplerState(msgspec.Struct, frozen=True, kw_only=True):
    """What a sampler has done so far, as checkpoints hold it.

    Attributes:
        values: Lower edges of the complexity levels.
        level: Level of the last step; None before the first.
        rng: State of the random generator, as JSON.
        kept: For each level the genes of the architectures that are left in its reservoir.
    """

    values: tuple[float, ...]
    level: Count | None
    rng: str
    kept: tuple[tuple[tuple[Gene, ...], ...], ...]


RNG_FORMAT = Format(
    kind=RngState,
    what="the state of a random generator",
    error=CheckpointError,
    mend="put a good copy back, or start a fresh training",
    next_step=FRESH,
)


class Sampler(Protocol):
    """Chooses the subnets of each step.

    The same generator state gives the same draws in every process, so the ranks of a
    distributed run agree without talking. `state` brings a sampler of the same levels to the
    same point through `restore`.
    """

    @property
    def levels(self) -> Levels: ...

    def draw(self) -> Draw: ...

    def draw_at(self, level: int) -> Draw: ...

    def state(self) -> SamplerState: ...

    def restore(self, state: SamplerState) -> None: ...


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


class LevelSampler:
    """Adjacent level walk with uniform draws within the level; a `Sampler`.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        seed: Random seed of all draws.
        subnets: Number of sampled subnets a step.
    """

    def __init__(
        self,
        space: SearchSpace,
        cost: CostModel,
        levels: Levels,
        *,
        seed: int,
        subnets: int = 3,
    ) -> None:
        self._levels, self.subnets = levels, subnets
        self.rng = np.random.default_rng(seed)
        self.reservoir = Reservoir(space, cost, levels, self.rng)
        self.level: int | None = None

    @property
    def levels(self) -> Levels:
        return self._levels

    def draw(self) -> Draw:
        """The next step's subnets.

        Raises:
            TargetError: No architecture within the band of the level was found.
        """
        if self.level is None:
            self.level = int(self.rng.integers(len(self.levels)))
        else:
            to = self.level + int(self.rng.integers(-1, 2))
            self.level = to if 0 <= to < len(self.levels) else self.level
        return self.draw_at(self.level)

    def draw_at(self, level: int) -> Draw:
        """Subnets of a level, without moving the walk.

        Raises:
            TargetError: No architecture within the band of the level was found.
        """
        archs = tuple(self.reservoir.draw(level, self.subnets))
        return Draw(level=level, archs=archs, smallest=self.levels.smallest[level])

    def state(self) -> SamplerState:
        """Current level, random generator and reservoirs."""
        return SamplerState(
            values=self.levels.values,
            level=self.level,
            rng=json.dumps(self.rng.bit_generator.state),
            kept=tuple(tuple(map(tuple, genes.tolist())) for genes in self.reservoir.kept),
        )

    def restore(self, state: SamplerState) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: The state belongs to other complexity levels or another space, or
                holds no random generator.
        """
        if state.values != self.levels.values:
            raise CheckpointError(
                f"the checkpoint has complexity levels {shown(list(state.values))}, this run "
                f"{list(self.levels.values)}; start a fresh training",
                next_step=FRESH,
            )
        count = len(self.levels)
        if len(state.kept) != count or (state.level is not None and state.level >= count):
            raise _damaged(
                f"level {state.level} and {len(state.kept)} reservoirs; there are {count} levels"
            )
        space = self.reservoir.space
        kept = []
        for rows in state.kept:
            if len(rows) > CAPACITY or any(len(row) != len(space.names) for row in rows):
                raise _damaged(
                    f"architectures of another form than the {len(space.names)} genes of the space"
                )
            genes = np.array(rows, dtype=np.int16).reshape(-1, len(space.names))
            if not space.valid(ArchBatch(genes, space.layout.n_conv)).all():
                raise _damaged("architectures that lie outside the space")
            kept.append(genes)
        RNG_FORMAT.parse_json(state.rng, "sampler.rng in the checkpoint").restore(self.rng)
        self.level, self.reservoir.kept = state.level, kept


def _damaged(found: str) -> CheckpointError:
    return CheckpointError(
        f"the state of the sampler in the checkpoint holds {found}; put a good copy back, or start "
        "a fresh training",
        next_step=FRESH,
    )
