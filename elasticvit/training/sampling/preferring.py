"""The path preference rule of ElasticViT's performance-aware sampling (section 4.2): of several
random subnets, the one whose cost comes from width rather than from depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.bank import Banks
from elasticvit.training.sampling.draw import UNIFORM, Draw
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.state import SamplerState

CANDIDATES = 5


def depth_over_width(batch: ArchBatch, anchor: Arch, cost: CostModel) -> FloatArray:
    """How much more of the cost comes from transformer depth than from transformer width.

    For each architecture, its cost with the widths of all transformer stages replaced by the
    anchor's, minus its cost with their depths replaced by the anchor's.

    Args:
        batch: Architectures (n).
        anchor: The architecture that widths and depths are taken from.
        cost: Cost that the complexity levels are measured in.

    Returns:
        Shape (n,), in the unit of the cost.
    """

    def with_anchors(gene: str) -> FloatArray:
        genes = batch.genes.copy()
        for column, name in enumerate(batch.names):
            if name.startswith("attn") and name.endswith(f".{gene}"):
                genes[:, column] = anchor.genes[column]
        return cost.price(ArchBatch(genes, batch.n_conv))

    difference: FloatArray = with_anchors("width") - with_anchors("depth")
    return difference


class PreferringSampler:
    """Replaces uniform draws of another sampler by the path preference rule; a `Sampler`.

    Each uniform subnet of a step becomes the one of five candidates (itself and four more of the
    level) of which `depth_over_width` is least. The anchor is the best architecture of the lowest
    level's bank, or the smallest one of the space where the level itself is the lowest, or that
    bank is empty, or there are no banks. With banks, the rule holds at a level once its own bank
    is more than half full.

    Args:
        inner: The sampler within.
        space: The search space.
        cost: Cost that the complexity levels are measured in.
    """

    def __init__(self, inner: Sampler, space: SearchSpace, cost: CostModel) -> None:
        self.inner, self.space, self.cost = inner, space, cost

    @property
    def levels(self) -> Levels:
        return self.inner.levels

    @property
    def banks(self) -> Banks | None:
        return self.inner.banks

    def draw(self, share: float = 0.0) -> Draw:
        """The next step's subnets; raises as `Sampler.draw` does."""
        draw = self.inner.draw(share)
        banks, explored = self.banks, draw.chosen.count(UNIFORM)
        if not explored or (banks is not None and not banks[draw.level].ready):
            return draw
        more: list[Arch] = []
        while len(more) < explored * (CANDIDATES - 1):
            more.extend(self.inner.draw_at(draw.level).archs)
        anchor, archs, chosen = self._anchor(draw.level), list(draw.archs), list(draw.chosen)
        for i, how in enumerate(draw.chosen):
            if how == UNIFORM:
                others, more = more[: CANDIDATES - 1], more[CANDIDATES - 1 :]
                candidates = ArchBatch.of([archs[i], *others])
                least = np.argmin(depth_over_width(candidates, anchor, self.cost))
                archs[i], chosen[i] = candidates[int(least)], "preference"
        return replace(draw, archs=tuple(archs), chosen=tuple(chosen))

    def _anchor(self, level: int) -> Arch:
        best = None if self.banks is None or level == 0 else self.banks[0].best
        return self.space.smallest if best is None else best

    def draw_at(self, level: int) -> Draw:
        """Random subnets of a level; raises as `Sampler.draw_at` does."""
        return self.inner.draw_at(level)

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """Nothing is remembered but by the sampler within."""
        self.inner.learn(draw, losses)

    def state(self) -> SamplerState:
        """State of the sampler within; the rule has none."""
        return self.inner.state()

    def restore(self, state: SamplerState) -> None:
        """Go on from a state; raises as `Sampler.restore` does."""
        self.inner.restore(state)
