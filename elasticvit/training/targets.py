"""What the sampled subnets of a step learn from: labels, teachers, or both.

Shapes: B batch, K classes, R resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from elasticvit.nn.side_by_side import SideBySide, in_parts
from elasticvit.training.batch import Batch
from elasticvit.training.distillation import Distillation
from elasticvit.training.losses import label_loss
from elasticvit.training.mixing import blended_labels
from elasticvit.training.soft_labels import SoftLabels


class Teacher(Protocol):
    """Says how probable each class is; it never changes while it teaches.

    The same images give the same probabilities, whatever was asked before: its networks are in
    evaluation mode, and no gradient flows into them.
    """

    def probabilities(self, images: Tensor) -> Tensor:
        """Probabilities (B, K) of images (B, 3, R, R), softened, and averaged where several
        networks teach.

        Args:
            images: Images as the subnets see them: normalised by the data set's mean and standard
                deviation, on the device of the training.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the sampled subnets should say of one batch.

    Attributes:
        labels: Labels of the images before they were mixed (B,).
        soft: Label distributions of mixed images (B, K); None if they were not mixed.
        smoothing: Label smoothing.
        taught: Probabilities that the teachers give (B, K); None without a teacher.
        share: Share of the loss that is distillation.
    """

    labels: Tensor
    soft: Tensor | None = None
    smoothing: float = 0.0
    taught: Tensor | None = None
    share: float = 0.0

    @property
    def likeliest(self) -> Tensor:
        """Class that has the largest share of each image (B,)."""
        return self.labels if self.soft is None else self.soft.argmax(dim=1)

    def loss(self, logits: Tensor) -> Tensor:
        """Mean loss of logits (B, K): cross entropy with the labels, with the teachers'
        probabilities, or the share-weighted sum of both."""
        if self.taught is None:
            return self._label_loss(logits)
        distillation = F.cross_entropy(logits, self.taught)
        if self.share == 1:
            return distillation
        return (1 - self.share) * self._label_loss(logits) + self.share * distillation

    def _label_loss(self, logits: Tensor) -> Tensor:
        labels = self.labels if self.soft is None else self.soft
        return label_loss(logits, labels, self.smoothing)


class TargetMaker:
    """Makes the targets of each batch.

    Args:
        classes: Number of classes.
        smoothing: Label smoothing.
        distillation: Which teachers there are.
        source: The teachers as networks, or their soft labels; None without a teacher.
    """

    def __init__(
        self,
        *,
        classes: int,
        smoothing: float,
        distillation: Distillation,
        source: Teacher | SoftLabels | None,
    ) -> None:
        assert (source is None) == (not distillation.teachers)
        self.classes, self.smoothing = classes, smoothing
        self.share, self.source = distillation.share, source

    def __call__(
        self, batch: Batch, share: float | None, threads: SideBySide | None = None
    ) -> Targets:
        """The targets of a batch.

        Args:
            batch: Images as the subnets see them, so mixed if `share` is given; labels and rows
                of the images before that. Images and labels are on the device of the training.
            share: Share of each image in its blend; None if the images are not mixed.
            threads: Threads that teachers run in; None: they run on torch's.
        """
        soft = taught = None
        if share is not None:
            soft = blended_labels(F.one_hot(batch.labels, self.classes).float(), share)
        if isinstance(self.source, SoftLabels):
            taught = self.source.probabilities(batch.rows).to(batch.labels.device)
            taught = taught if share is None else blended_labels(taught, share)
        elif self.source is not None:
            taught = in_parts(threads, self.source.probabilities, batch.images)
        return Targets(
            labels=batch.labels,
            soft=soft,
            smoothing=self.smoothing,
            taught=taught,
            share=self.share,
        )
