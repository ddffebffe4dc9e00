"""Mixup: every image blended with another of its batch, and what is said of it alike (Zhang et
al., ICLR 2018)."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def mixup_share(alpha: float, rng: np.random.Generator) -> float:
    """The share of each image in its blend, drawn from Beta(alpha, alpha)."""
    return float(rng.beta(alpha, alpha))


def mixed(values: Tensor, share: float) -> Tensor:
    """Images (B, 3, H, W), or label distributions (B, K), each blended with the one at the same
    place from the end of the batch.

    Args:
        values: One entry an image.
        share: Share of each entry itself.
    """
    return share * values + (1 - share) * values.flip(0)
