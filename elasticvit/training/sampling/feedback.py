"""What a training step tells the sampler: how good its subnets were."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from elasticvit.cost import MacsCost
from elasticvit.nn import Supernet
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.upkeep import Judge, Upkeep, judged


class Feedback:
    """Lets a sampler learn from the steps of a training, and keeps its banks up to date.

    A sampler without banks has nothing to learn, and costs nothing here.

    Args:
        sampler: The sampler.
        supernet: The supernet, in training mode.
        ranks: This process among those that train together.
        epoch_steps: Number of steps of an epoch.
        batch_size: Images a step, over all ranks.
    """

    def __init__(
        self,
        sampler: Sampler,
        supernet: Supernet,
        ranks: Ranks,
        *,
        epoch_steps: int,
        batch_size: int,
    ) -> None:
        self.sampler = sampler
        self.upkeep: Upkeep | None = None
        if sampler.banks is not None:
            self.judge: Judge = partial(judged, supernet, ranks)
            macs = MacsCost(supernet.space)
            self.upkeep = Upkeep(
                sampler.banks,
                macs,
                self.judge,
                epoch_steps=epoch_steps,
                images=batch_size // ranks.count,
            )

    def give(self, step: int, draw: Draw, plain: Tensor, images: Tensor, labels: Tensor) -> None:
        """Tell the sampler about a step, before its update.

        Args:
            step: Index of the step.
            draw: What it ran.
            plain: Cross entropy of each of `draw.archs` with the labels, averaged over the ranks
                (n,); empty if the step was on mixed images. Explored subnets are then run once
                more.
            images: Normalised images (B, 3, R, R), not mixed.
            labels: Labels (B,).
        """
        if self.upkeep is None:
            return
        losses = plain.tolist() or self._explored(draw, images, labels)
        self.sampler.learn(draw, losses)
        self.upkeep.after(step, draw, images, labels)

    def _explored(self, draw: Draw, images: Tensor, labels: Tensor) -> list[float]:
        """Losses of the subnets that did not come from a bank; NaN for the others."""
        rows = [i for i, how in enumerate(draw.chosen) if how != "bank"]
        found = self.judge([draw.archs[i] for i in rows], images, labels)
        losses = dict(zip(rows, found, strict=True))
        return [losses.get(i, math.nan) for i in range(len(draw.archs))]
