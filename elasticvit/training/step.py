"""One training step: sampled subnets learn from labels or teachers, students from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet. With complexity levels the student is the smallest subnet of the level, and there is
no largest subnet in the step (ElasticViT, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.precision import Precision
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.targets import Targets


@dataclass(frozen=True)
class StepLosses:
    """Losses and accuracy of one step.

    Attributes:
        level: Index of the complexity level.
        sampled: Mean cross entropy of the sampled subnets.
        smallest: Mean divergence of the students from the mean of the sampled subnets; with
            complexity levels, of the smallest subnet alone; 0 without students.
        accuracy: Training accuracy of the sampled subnets, in percent.
        gradient: Norm of all gradients together, before they are clipped.
    """

    level: int
    sampled: float
    smallest: float
    accuracy: float
    gradient: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class StepValues:
    """`StepLosses` before they are read from the device.

    Attributes:
        level: Index of the complexity level.
        values: The losses and the accuracy in the order of `StepLosses`, float32 (3,); with the
            norm of the gradients where it is known, (4,).
        plain: Cross entropy of each sampled subnet with the labels, neither mixed nor smoothed,
            float32 (n,); empty for a step on mixed images.
    """

    level: int
    values: Tensor
    plain: Tensor

    def added(self, total: StepValues | None, share: float) -> StepValues:
        """A sum that begins with None, and a share of these."""
        if total is None:
            return replace(self, values=self.values * share, plain=self.plain * share)
        return replace(
            self,
            values=total.values + self.values * share,
            plain=total.plain + self.plain * share,
        )

    def losses(self, numbers: Sequence[float] | None = None) -> StepLosses:
        """The losses as numbers.

        Args:
            numbers: `values`, if they were read already.
        """
        return StepLosses(self.level, *(self.values.tolist() if numbers is None else numbers))

    def with_gradient(self, norm: Tensor) -> StepValues:
        """The same with the norm of all gradients together, without a dimension."""
        return replace(self, values=torch.cat([self.values, norm.view(1)]))


def run_step(
    supernet: Supernet,
    images: Tensor,
    targets: Targets,
    draw: Draw,
    *,
    divergence: AlphaDivergence,
    precision: Precision,
    share: float = 1.0,
) -> StepValues:
    """Add the gradients of one step to the supernet's.

    Args:
        supernet: The supernet, in training mode.
        images: Normalised images (B, 3, R, R).
        targets: What the sampled subnets should say of these images.
        draw: The subnets of this step.
        divergence: Divergence of a student from the mean of the sampled subnets.
        precision: What forward passes compute in.
        share: Share of the step's images that these are; gradients are multiplied by it.
    """
    losses, shares, right, plain, distances = [], [], [], [], []
    for arch in draw.archs:
        with precision.autocast():
            logits = supernet(images, arch)
        logits = logits.float()
        loss = targets.loss(logits)
        precision.scaled(loss * share).backward()
        losses.append(loss.detach())
        shares.append(logits.detach().softmax(dim=1))
        if targets.soft is None:
            plain.append(F.cross_entropy(logits.detach(), targets.labels))
        right.append((logits.detach().argmax(dim=1) == targets.labels).float().mean())
    teacher = torch.stack(shares).mean(dim=0)
    for arch in draw.students:
        with precision.autocast():
            logits = supernet(images, arch)
        loss = divergence(logits.float(), teacher)
        precision.scaled(loss * share).backward()
        distances.append(loss.detach())
    distance = torch.stack(distances).mean() if distances else torch.zeros_like(losses[0])
    values = [torch.stack(losses).mean(), distance, 100 * torch.stack(right).mean()]
    return StepValues(
        level=draw.level,
        values=torch.stack(values),
        plain=torch.stack(plain) if plain else teacher.new_empty(0),
    )
