"""One architecture trained alone, from its weights in a supernet or from initial ones.

It is the supernet of a space with one choice a gene, so that loop, checkpoints, search and export
are those of any run. The paper's transfer experiment is of this kind: a subnet that is cut out of
the supernet and fine-tuned on another data set (ElasticViT, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.levels import BOUND_SHARE, Levels
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.state import SamplerState, check_levels

NAME_MARK = "-subnet"
ROUNDED = 5e-3  # three digits are off by no more


def single_space(space: SearchSpace, arch: Arch) -> SearchSpace:
    """The space that holds one architecture of a space.

    Raises:
        ArchError: The architecture lies outside the space.
    """
    space.check(arch)
    if space.size() == 1:
        return space
    choices = tuple((gene,) for gene in arch.genes)
    return SearchSpace(space.name + NAME_MARK, space.layout, choices)


def single_levels(space: SearchSpace, cost: CostModel) -> Levels:
    """The one complexity level of a space with one architecture: its cost.

    Args:
        space: The space.
        cost: Cost that the level is measured in.
    """
    price = float(cost.price(ArchBatch.of([space.smallest]))[0])
    value = float(f"{(1 - ROUNDED) * price:.3g}")  # at most the price, so that its band holds it
    return Levels(
        unit=cost.unit, values=(value,), bound=BOUND_SHARE * value, smallest=(space.smallest,)
    )


class SingleSampler:
    """Draws one architecture at each step; a `Sampler`.

    Args:
        arch: The architecture.
        levels: The one complexity level.
    """

    def __init__(self, arch: Arch, levels: Levels) -> None:
        self.arch, self._levels = arch, levels

    @property
    def levels(self) -> Levels:
        return self._levels

    @property
    def banks(self) -> None:
        """There is nothing to remember."""
        return None

    def draw(self, share: float = 0.0) -> Draw:
        """The architecture."""
        return self.draw_at(0)

    def draw_at(self, level: int) -> Draw:
        """The architecture, whatever the level."""
        return Draw(level=level, archs=(self.arch,), students=(), chosen=("fixed",))

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """There is nothing to learn."""

    def state(self) -> SamplerState:
        """Its level; there is nothing random about it."""
        return SamplerState(values=self.levels.values, level=0, rng="", kept=((),))

    def restore(self, state: SamplerState) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: The state is of other complexity levels.
        """
        check_levels(state, self.levels)
