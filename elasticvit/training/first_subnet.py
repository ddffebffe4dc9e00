"""The start of a training with one subnet, whose weights are then spread over the supernet.

For the first share of the steps every step trains one architecture alone, in place, without a
student. Then what it learnt is spread over the parts of the supernet that it does not use, as from
a subnet of another training (SuperFast, DAC 2025; see `starting.start_weights`). Which phase a step
belongs to follows from its number, so that there is no state to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from timm.utils import ModelEmaV3

from elasticvit.arch import Arch
from elasticvit.cost import CostModel
from elasticvit.nn import Subnet, Supernet
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.starting import start_weights

SAMPLE = 20_000  # architectures that the first one is chosen from


@dataclass(frozen=True, kw_only=True)
class FirstSubnet:
    """The architecture that a training starts with, and for how long.

    Attributes:
        arch: The architecture.
        level: Index of the complexity level that its steps are counted to.
        steps: Number of steps that it is trained alone.
    """

    arch: Arch
    level: int
    steps: int

    def draw(self, step: int) -> Draw | None:
        """What a step runs; None once the sampler chooses.

        Args:
            step: Index of the step.
        """
        if step >= self.steps:
            return None
        return Draw(level=self.level, archs=(self.arch,), students=(), chosen=("fixed",))

    def spread(
        self, step: int, supernet: Supernet, ema: ModelEmaV3, optimiser: torch.optim.Optimizer
    ) -> bool:
        """Spread what the architecture learnt, in place, if a step is the first one after it.

        Args:
            step: Index of the step that comes next.
            supernet: The supernet.
            ema: Moving average of its weights.
            optimiser: Optimiser of its weights. A weight that is new to the training has no
                momentum, and the mean squared gradient of those of its tensor that are not: with
                one of zero, its first updates would be several times too large.

        Returns:
            Whether it was.
        """
        if step != self.steps:
            return False
        before = [p.detach().clone() for p in supernet.parameters()]
        for network in (supernet, ema.module):
            assert isinstance(network, Supernet)
            start_weights(network, Subnet.cut(network, self.arch))
        for parameter, old in zip(supernet.parameters(), before, strict=True):
            state = optimiser.state.get(parameter)
            if state:
                squares = state["exp_avg_sq"]
                new = (parameter.detach() != old) | (squares == 0)
                known = squares[~new]
                state["exp_avg"].masked_fill_(new, 0.0)
                squares.masked_fill_(new, float(known.mean()) if len(known) else 0.0)
        return True


def first_subnet(
    space: SearchSpace, cost: CostModel, levels: Levels, steps: int
) -> FirstSubnet | None:
    """The architecture of a middle size to start with; None for no steps.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        steps: Number of steps that it is trained alone.
    """
    if not steps:
        return None
    middle = len(levels) // 2
    arch = _even(space, cost, levels.band(middle))
    return FirstSubnet(arch=arch, level=middle, steps=steps)


def _even(space: SearchSpace, cost: CostModel, band: tuple[float, float]) -> Arch:
    """Of many architectures within a band, or else nearest to it, the one whose genes lie most
    evenly within their choices: neither deep and narrow nor wide and shallow."""
    batch = space.sample(SAMPLE, np.random.default_rng(0))
    prices = cost.price(batch)
    outside = np.maximum(band[0] - prices, 0) + np.maximum(prices - band[1], 0)
    free = [i for i, options in enumerate(space.choices) if len(options) > 1]
    places = [
        np.searchsorted(space.choices[i], batch.genes[:, i]) / (len(space.choices[i]) - 1)
        for i in free
    ]
    spread = np.var(places, axis=0) if free else np.zeros(len(batch))
    return batch[int(np.lexsort((spread, outside))[0])]
