"""One training step: sampled subnets learn from labels or teachers, students from their mean.

The subnets of a step run one after another and their gradients add up, so memory is that of
one subnet; on a CPU several run at the same time (`step_side_by_side`). With complexity levels
the student is the smallest subnet of the level, and there is no largest subnet in the step
(ElasticViT, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from elasticvit.arch import Arch
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


@dataclass(frozen=True, kw_only=True, eq=False)
class SubnetPasses:
    """Runs the subnets of a step forwards and backwards, one at a time.

    Attributes:
        supernet: The supernet, in training mode.
        images: Normalised images (B, 3, R, R).
        targets: What the sampled subnets should say of these images.
        divergence: Divergence of a student from the mean of the sampled subnets.
        precision: What forward passes compute in.
        share: Share of the step's images that these are; gradients are multiplied by it.
    """

    supernet: Supernet
    images: Tensor
    targets: Targets
    divergence: AlphaDivergence
    precision: Precision
    share: float

    def sampled(
        self, arch: Arch, tell: Callable[[Tensor], object], backward: Callable[[Tensor], object]
    ) -> SampledLosses:
        """The passes of a sampled subnet.

        Args:
            arch: The subnet.
            tell: Told its probabilities (B, classes) after the forward pass.
            backward: Takes the gradients of a loss.
        """
        logits = self._logits(arch)
        said = logits.detach()
        tell(said.softmax(dim=1))
        loss = self.targets.loss(logits)
        backward(self.precision.scaled(loss * self.share))
        return SampledLosses(
            loss=loss.detach(),
            plain=F.cross_entropy(said, self.targets.labels) if self.targets.soft is None else None,
            right=(said.argmax(dim=1) == self.targets.likeliest).float().mean(),
        )

    def student(
        self, arch: Arch, teacher: Callable[[], Tensor], backward: Callable[[Tensor], object]
    ) -> Tensor:
        """The passes of a student; its divergence.

        Args:
            arch: The subnet.
            teacher: Gives the mean of the sampled subnets' probabilities (B, classes); called
                after the forward pass.
            backward: Takes the gradients of a loss.
        """
        logits = self._logits(arch)
        loss = self.divergence(logits, teacher())
        backward(self.precision.scaled(loss * self.share))
        return loss.detach()

    def _logits(self, arch: Arch) -> Tensor:
        with self.precision.autocast():
            logits: Tensor = self.supernet(self.images, arch)
        return logits.float()


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledLosses:
    """What a sampled subnet lost, on the device.

    Attributes:
        loss: Cross entropy with its targets.
        plain: Cross entropy with the labels; None on mixed images.
        right: Share of the images that it classified right; of mixed ones the class that has the
            largest share counts.
    """

    loss: Tensor
    plain: Tensor | None
    right: Tensor


def run_step(passes: SubnetPasses, draw: Draw) -> StepValues:
    """Add the gradients of one step to the supernet's, subnet after subnet.

    Args:
        passes: Runs a subnet.
        draw: The subnets of this step.
    """
    told: list[Tensor] = []
    sampled = [passes.sampled(arch, told.append, Tensor.backward) for arch in draw.archs]
    teacher = torch.stack(told).mean(dim=0)
    distances = [passes.student(arch, lambda: teacher, Tensor.backward) for arch in draw.students]
    return step_values(draw.level, sampled, distances)


def step_values(
    level: int, sampled: Sequence[SampledLosses], distances: Sequence[Tensor]
) -> StepValues:
    """What a step says of its subnets together.

    Args:
        level: Index of the complexity level.
        sampled: What each sampled subnet lost.
        distances: Divergence of each student.
    """
    loss = torch.stack([one.loss for one in sampled]).mean()
    distance = torch.stack(list(distances)).mean() if distances else torch.zeros_like(loss)
    right = 100 * torch.stack([one.right for one in sampled]).mean()
    plain = [one.plain for one in sampled if one.plain is not None]
    return StepValues(
        level=level,
        values=torch.stack([loss, distance, right]),
        plain=torch.stack(plain) if plain else loss.new_empty(0),
    )
