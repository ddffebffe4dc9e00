"""Complexity levels: the narrow bands that the subnets of one training step come from.

Gradients of two subnets agree the less, the further their complexities lie apart (ElasticViT,
section 4.1). So a step draws all its subnets from one band [level, level + 2 * bound]. Each
level also has a smallest subnet, which is trained with them and is the lower bound of every
gene drawn there (hierarchical smallest subnets, section 4.2): a large level is not dragged
down by the smallest architecture of the whole space.

A level is measured by any `CostModel`, so it may be millions of multiply-accumulates or
milliseconds on a device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.errors import TargetError
from elasticvit.space import MOBILE, SearchSpace

PAPER_LEVELS_MMACS = (100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 900.0, 1200.0)
PAPER_BOUND_MMACS = 10.0
# the authors' smallest subnets of levels up to 200, up to 400 and above, in MMACs
PAPER_SMALLEST = {
    200.0: MOBILE.smallest,
    400.0: Arch(
        176,
        ConvStage(16, 1, 1, 3),
        (ConvStage(24, 3, 3, 3), ConvStage(32, 3, 3, 3)),
        (
            AttnStage(48, 2, 2, 2),
            AttnStage(96, 2, 3, 2),
            AttnStage(176, 2, 2, 2),
            AttnStage(224, 2, 2, 2),
        ),
    ),
    math.inf: Arch(
        224,
        ConvStage(16, 1, 1, 3),
        (ConvStage(24, 3, 3, 3), ConvStage(32, 3, 3, 3)),
        (
            AttnStage(64, 2, 2, 2),
            AttnStage(96, 2, 2, 2),
            AttnStage(192, 2, 2, 2),
            AttnStage(256, 2, 2, 2),
        ),
    ),
}

# for other spaces and units, what the paper's choice comes to in its own space: the lowest
# level is at the 0.1 % quantile of a uniform sample, the highest at the 95 % quantile, a
# band's half-width a tenth of the lowest level, a smallest subnet about half its lowest level
QUANTILES = (0.001, 0.95)
LEVELS = 6
GROUPS = 3  # of levels that share a smallest subnet
BOUND_SHARE = 0.1
SMALLEST_SHARE = 0.55
SAMPLE = 200_000
LEAST_SHARE = 2e-4  # of the architectures above the smallest subnet that a band must hold
WIDENINGS = 30


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The bands of a training run.

    Attributes:
        unit: Unit of the values, `MMACs` or `ms`.
        values: Lower edge of each band, rising.
        bound: Half the width of a band.
        smallest: Smallest subnet of each level.

    Raises:
        TargetError: There is no level, the values do not rise, or the bound is not positive.
    """

    unit: str
    values: tuple[float, ...]
    bound: float
    smallest: tuple[Arch, ...]

    def __post_init__(self) -> None:
        if not self.values or list(self.values) != sorted(set(self.values)) or self.bound <= 0:
            raise TargetError(
                f"complexity levels {self.values} with bound {self.bound}: at least one level, "
                "rising, and a positive bound are needed"
            )
        if len(self.smallest) != len(self.values):
            raise TargetError(
                f"{len(self.smallest)} smallest subnets for {len(self.values)} complexity levels"
            )

    def __len__(self) -> int:
        return len(self.values)

    def band(self, level: int) -> tuple[float, float]:
        """Least and greatest complexity of a level."""
        low = self.values[level]
        return low, low + 2 * self.bound


def levels_for(space: SearchSpace, cost: CostModel, rng: np.random.Generator) -> Levels:
    """The levels of a space by a cost.

    They are the paper's for its own space in multiply-accumulates; otherwise they are spaced
    evenly in the logarithm over the costs that the space offers.

    Args:
        space: The search space.
        cost: Cost that the levels are measured in.
        rng: Random generator of the sample that the costs of the space are estimated from.
    """
    if cost.unit == "MMACs" and space.choices == MOBILE.choices:
        smallest = tuple(
            next(arch for upper, arch in PAPER_SMALLEST.items() if value <= upper)
            for value in PAPER_LEVELS_MMACS
        )
        return Levels(
            unit=cost.unit, values=PAPER_LEVELS_MMACS, bound=PAPER_BOUND_MMACS, smallest=smallest
        )
    low, high = np.quantile(cost.price(space.sample(SAMPLE, rng)), QUANTILES)
    values = sorted({float(f"{v:.2g}") for v in np.geomspace(low, high, LEVELS)})
    groups = min(GROUPS, len(values))
    smallest_of_group = [
        _smallest(space, cost, values[group * len(values) // groups] * SMALLEST_SHARE)
        for group in range(groups)
    ]
    smallest_of_group[0] = space.smallest
    smallest = tuple(smallest_of_group[i * groups // len(values)] for i in range(len(values)))
    levels = Levels(
        unit=cost.unit, values=tuple(values), bound=BOUND_SHARE * values[0], smallest=smallest
    )
    samples = {
        arch: cost.price(space.sample(SAMPLE // 4, rng, arch)) for arch in dict.fromkeys(smallest)
    }
    for _ in range(WIDENINGS):  # a small space has gaps that a narrow band may fall into
        if all(
            _share(samples[arch], levels.band(i)) >= LEAST_SHARE for i, arch in enumerate(smallest)
        ):
            break
        levels = replace(levels, bound=levels.bound * 1.25)
    return levels


def _share(prices: FloatArray, band: tuple[float, float]) -> float:
    return float(np.mean((prices >= band[0]) & (prices <= band[1])))


def _smallest(space: SearchSpace, cost: CostModel, limit: float) -> Arch:
    """The largest architecture below a limit among those whose genes are all at the same
    share of their choices; the smallest one of the space if even that is above the limit."""
    best = space.smallest
    for share in np.linspace(0, 1, 41):
        genes = [c[int(share * (len(c) - 1))] for c in space.choices]
        batch = ArchBatch(np.array([genes], dtype=np.int16), space.layout.n_conv)
        if space.valid(batch)[0] and cost.price(batch)[0] <= limit:
            best = batch[0]
    return best
