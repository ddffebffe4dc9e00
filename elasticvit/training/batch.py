"""One batch of training images, with the places of its images in the training part."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images with their labels and their rows.

    Attributes:
        images: Normalised images (B, 3, R, R).
        labels: Labels (B,), int64.
        rows: Indices of the images in their part of the data set (B,), int64.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
