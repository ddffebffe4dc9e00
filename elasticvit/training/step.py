"""One training step: sampled subnets learn from labels, the smallest one from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet. There is no largest subnet in the step (ElasticViT, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.training.losses import AlphaDivergence, label_loss
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampler import Draw


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """Losses and accuracy of one step.

    Attributes:
        level: Index of the complexity level.
        sampled: Mean cross entropy of the sampled subnets.
        smallest: Divergence of the smallest subnet from the mean of the sampled ones; 0
            if there is none in the step.
        accuracy: Training accuracy of the sampled subnets, in percent.
    """

    level: int
    sampled: float
    smallest: float
    accuracy: float

    def averaged(self, ranks: Ranks) -> StepLosses:
        """The mean over the ranks, all of which run the same level."""
        values = torch.tensor([self.sampled, self.smallest, self.accuracy], device=ranks.device)
        sampled, smallest, accuracy = ranks.average(values).tolist()
        return replace(self, sampled=sampled, smallest=smallest, accuracy=accuracy)


def run_step(
    supernet: Supernet,
    images: Tensor,
    labels: Tensor,
    draw: Draw,
    *,
    smoothing: float,
    divergence: AlphaDivergence,
    soft_labels: Tensor | None = None,
) -> StepLosses:
    """Add the gradients of one step to the supernet's.

    Args:
        supernet: The supernet, in training mode.
        images: Normalised images (B, 3, R, R).
        labels: Labels (B,).
        draw: The subnets of this step.
        smoothing: Label smoothing.
        divergence: Divergence of the smallest subnet from the mean of the sampled ones.
        soft_labels: Label distributions (B, K) of mixed images, used instead of `labels`.
    """
    losses, shares, right = [], [], []
    for arch in draw.archs:
        logits = supernet(images, arch)
        loss = label_loss(logits, labels if soft_labels is None else soft_labels, smoothing)
        loss.backward()
        losses.append(loss.detach())
        shares.append(logits.detach().softmax(dim=1))
        right.append((logits.detach().argmax(dim=1) == labels).float().mean())
    teacher = torch.stack(shares).mean(dim=0)
    loss = torch.zeros(())
    if draw.smallest is not None:
        loss = divergence(supernet(images, draw.smallest), teacher)
        loss.backward()
    return StepLosses(
        level=draw.level,
        sampled=float(torch.stack(losses).mean()),
        smallest=float(loss.detach()),
        accuracy=100 * float(torch.stack(right).mean()),
    )
