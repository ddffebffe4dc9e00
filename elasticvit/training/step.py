"""One training step: sampled subnets learn from labels or teachers, students from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet. With complexity levels the student is the smallest subnet of the level, and there is
no largest subnet in the step (ElasticViT, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.targets import Targets


@dataclass(frozen=True, kw_only=True)
class StepLosses:
    """Losses and accuracy of one step.

    Attributes:
        level: Index of the complexity level.
        sampled: Mean cross entropy of the sampled subnets.
        smallest: Mean divergence of the students from the mean of the sampled subnets; with
            complexity levels, of the smallest subnet alone; 0 without students.
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
    targets: Targets,
    draw: Draw,
    *,
    divergence: AlphaDivergence,
) -> StepLosses:
    """Add the gradients of one step to the supernet's.

    Args:
        supernet: The supernet, in training mode.
        images: Normalised images (B, 3, R, R).
        targets: What the sampled subnets should say of these images.
        draw: The subnets of this step.
        divergence: Divergence of a student from the mean of the sampled subnets.
    """
    losses, shares, right, plain, distances = [], [], [], [], []
    for arch in draw.archs:
        logits = supernet(images, arch)
        loss = targets.loss(logits)
        loss.backward()
        losses.append(loss.detach())
        shares.append(logits.detach().softmax(dim=1))
        if targets.soft is None:
            plain.append(F.cross_entropy(logits.detach(), targets.labels))
        right.append((logits.detach().argmax(dim=1) == targets.labels).float().mean())
    teacher = torch.stack(shares).mean(dim=0)
    for arch in draw.students:
        loss = divergence(supernet(images, arch), teacher)
        loss.backward()
        distances.append(loss.detach())
    return StepLosses(
        level=draw.level,
        sampled=float(torch.stack(losses).mean()),
        smallest=float(torch.stack(distances).mean()) if distances else 0.0,
        accuracy=100 * float(torch.stack(right).mean()),
        plain=tuple(float(loss) for loss in plain),
    )
