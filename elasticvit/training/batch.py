"""A batch of training images, with the place of each image in its part of the data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Training images of one step, on one process.

    Attributes:
        images: Normalised images, float32 (B, 3, R, R).
        labels: Labels, int64 (B,).
        rows: Index of each image in its part of the data set, int64 (B,).
    """

    images: Tensor
    labels: Tensor
    rows: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def parts(self, count: int) -> list[Batch]:
        """The batch in so many parts of equal size, or nearly: part i holds every `count`-th image
        from the i-th on, which is how the ranks of a distributed run share a batch out."""
        if count == 1:
            return [self]
        return [
            Batch(
                images=self.images[i::count], labels=self.labels[i::count], rows=self.rows[i::count]
            )
            for i in range(count)
        ]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; on CUDA it is copied without waiting for the work that is queued."""
    if device.type == "cpu" or tensor.device == device:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
