"""Which teachers a training learns from, as a part of its settings. This module does not load
torch.

With two teachers or more, sampled subnets learn from the mean of their sharpened outputs alone,
softmax(logits / 0.2), and not from labels; with one teacher half from labels, half from its
outputs, which are not sharpened (ElasticViT's training code; the paper names no temperature).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from elasticvit.errors import SettingError

SHARPENED = 0.2  # temperature of two teachers or more
ALONE_SHARE = 0.5  # of the loss with one teacher that is distillation
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class TeacherInfo:
    """Which network a teacher is.

    Attributes:
        name: Its name in timm, or its architecture as tables print it.
        weights: SHA-256 of its weights.
    """

    name: str
    weights: Sha256


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """The teachers of a training.

    Attributes:
        teachers: The teachers; none if labels alone are learned from.
        soft_labels: SHA-256 of the soft labels that these teachers gave before the training; empty
            if the teachers run in each step.

    Raises:
        SettingError: Soft labels without a teacher.
    """

    teachers: tuple[TeacherInfo, ...] = ()
    soft_labels: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""

    def __post_init__(self) -> None:
        if self.soft_labels and not self.teachers:
            raise SettingError("soft_labels name no teacher; they must be those of one at least")

    @property
    def temperature(self) -> float:
        """What the logits of each teacher are divided by."""
        return temperature_of(len(self.teachers))

    @property
    def share(self) -> float:
        """Share of the loss of a sampled subnet that is distillation; labels make up the rest."""
        if not self.teachers:
            return 0.0
        return ALONE_SHARE if len(self.teachers) == 1 else 1.0

    @property
    def described(self) -> str:
        """What the sampled subnets learn from, in words; empty without a teacher."""
        if not self.teachers:
            return ""
        names = " and ".join(teacher.name for teacher in self.teachers)
        by = ", by the soft labels that were written" if self.soft_labels else ""
        if len(self.teachers) == 1:
            return f"sampled subnets learn half from labels, half from {names}{by}"
        return f"sampled subnets learn from the mean of {names} alone, not from labels{by}"


def temperature_of(teachers: int) -> float:
    """What the logits of each of so many teachers are divided by."""
    return SHARPENED if teachers > 1 else 1.0
