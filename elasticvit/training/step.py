"""One training step: sampled subnets learn from labels, the smallest one from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet. There is no largest subnet in the step (ElasticViT, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.training.losses import AlphaDivergence, label_loss
from elasticvit.training.sampler import Draw


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """What one step came to.

    Attributes:
        level: index of its complexity level.
        sampled: mean cross entropy of the sampled subnets.
        smallest: divergence of the smallest subnet from their mean.
        accuracy: share of the sampled subnets' answers that are right, in percent.
    """

    level: int
    sampled: float
    smallest: float
    accuracy: float


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
        images: (B, 3, H, W).
        labels: (B,).
        soft_labels: (B, K), used instead of `labels` where images are mixed.
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
    loss = divergence(supernet(images, draw.smallest), teacher)
    loss.backward()
    return StepLosses(
        level=draw.level,
        sampled=float(torch.stack(losses).mean()),
        smallest=float(loss.detach()),
        accuracy=100 * float(torch.stack(right).mean()),
    )
