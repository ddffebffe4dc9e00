"""What one training step runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from elasticvit.arch import Arch

Choice = Literal["uniform", "preference", "bank", "fixed"]
UNIFORM: Choice = "uniform"


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The subnets of one training step.

    Attributes:
        level: Index of the complexity level.
        archs: Subnets that learn from labels, or from teachers. With levels, all are within the
            band of the level.
        students: Subnets that learn from the mean of the probabilities of `archs`. With levels,
            the smallest subnet of the level.
        chosen: How each of `archs` was chosen: `uniform` at random, as the one of several that
            the path `preference` rule keeps, from the memory `bank`, or `fixed` by the rule.
    """

    level: int
    archs: tuple[Arch, ...]
    students: tuple[Arch, ...]
    chosen: tuple[Choice, ...]
