"""One training step: sampled subnets learn from labels, students from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet. With complexity levels the student is the smallest subnet of the level, and there is
no largest subnet in the step (ElasticViT, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.training.losses import AlphaDivergence, label_loss
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.draw import Draw


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """Losses and accuracy of one step.

    Attributes:
        level: Index of the complexity level.
        sampled: Mean cross entropy of the sampled subnets.
        smallest: Mean divergence of the students from the mean of the sampled subnets; with
            complexity levels, of the smallest subnet alone.
        accuracy: Training accuracy of the sampled subnets, in percent.
        plain: Cross entropy of each sampled subnet with the labels, neither mixed nor smoothed;
            empty for a step on mixed images.
    """

    level: int
    sampled: float
    smallest: float
    accuracy: float
    plain: tuple[float, ...] = ()

    def averaged(self, ranks: Ranks) -> StepLosses:
        """The mean over the ranks, all of which run the same level."""
        values = [self.sampled, self.smallest, self.accuracy, *self.plain]
        means = ranks.average(torch.tensor(values, device=ranks.device)).tolist()
        sampled, smallest, accuracy, *plain = means
        return replace(
            self, sampled=sampled, smallest=smallest, accuracy=accuracy, plain=tuple(plain)
        )


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
        divergence: Divergence of a student from the mean of the sampled subnets.
        soft_labels: Label distributions (B, K) of mixed images, used instead of `labels`.
    """
    losses, shares, right, plain, distances = [], [], [], [], []
    for arch in draw.archs:
        logits = supernet(images, arch)
        loss = label_loss(logits, labels if soft_labels is None else soft_labels, smoothing)
        loss.backward()
        losses.append(loss.detach())
        shares.append(logits.detach().softmax(dim=1))
        if soft_labels is None:
            plain.append(F.cross_entropy(logits.detach(), labels))
        right.append((logits.detach().argmax(dim=1) == labels).float().mean())
    teacher = torch.stack(shares).mean(dim=0)
    for arch in draw.students:
        loss = divergence(supernet(images, arch), teacher)
        loss.backward()
        distances.append(loss.detach())
    return StepLosses(
        level=draw.level,
        sampled=float(torch.stack(losses).mean()),
        smallest=float(torch.stack(distances).mean()),
        accuracy=100 * float(torch.stack(right).mean()),
        plain=tuple(float(loss) for loss in plain),
    )


def mixed(
    images: Tensor, labels: Tensor, classes: int, alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Mixup: every image blended with another of its batch, and their labels alike.

    Returns:
        Images (B, 3, H, W) and soft labels (B, classes).
    """
    share = float(rng.beta(alpha, alpha))
    one_hot = F.one_hot(labels, classes).float()
    return (
        share * images + (1 - share) * images.flip(0),
        share * one_hot + (1 - share) * one_hot.flip(0),
    )
