"""Losses of a training step: labels for the sampled subnets, their own mean for the smallest.

Shapes: B batch, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

CLIP = 5.0
TINY = 1e-12


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy of logits (B, K) with labels (B,) or soft labels (B, K), smoothed."""
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


@dataclass(frozen=True, kw_only=True)
class AlphaDivergence:
    """Adaptive alpha-divergence of a student from a teacher (AlphaNet, ICML 2021).

    The divergence of alpha = -1 is large where the student is too sure, that of alpha = 1
    (Kullback-Leibler) where it is not sure enough; each image takes the larger of the two.
    The ratio student / teacher of the first is clipped, which keeps its gradient bounded. The
    value is the divergence itself; its gradient is the paper's, which treats the student's
    share in the importance weights as a constant.

    Attributes:
        clip: Greatest importance weight.
    """

    clip: float = CLIP

    def __call__(self, logits: Tensor, teacher: Tensor) -> Tensor:
        """Mean over the batch.

        Args:
            logits: Logits of the student (B, K).
            teacher: Probabilities of the teacher (B, K); no gradient flows there.
        """
        teacher = teacher.detach()
        log_q = F.log_softmax(logits, dim=1)
        q = log_q.detach().exp()
        ratio = (q / teacher.clamp_min(TINY)).clamp_max(self.clip)  # (p / q) ** -1, clipped
        over = (q * (ratio / 2 - 0.5)).sum(dim=1)
        under = (torch.xlogy(teacher, teacher) - teacher * log_q.detach()).sum(dim=1)
        over_path = (q * (ratio - 0.5) * log_q).sum(dim=1)
        under_path = -(teacher * log_q).sum(dim=1)
        path = torch.where(over > under, over_path, under_path)
        value = torch.maximum(over, under)
        return (value + path - path.detach()).mean()
