"""What judges architectures during a search: a supernet, a table of accuracies, or a proxy.

An accuracy on n images has a standard error, and two accuracies on the same images differ by less
than two errors say: they are right and wrong on mostly the same images. So a judge gives the error
of each figure, and where it has them the images that were classified right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.share_error import share_error

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Judgements of n architectures.

    Attributes:
        accuracy: Accuracies in percent, or scores of a proxy, shape (n,).
        error: Standard errors of these, in the same unit, shape (n,); 0 where a figure is exact.
        correct: Whether each architecture classifies each image right, shape (n, images), the
            same images for all; None if only accuracies are known.
    """

    accuracy: FloatArray
    error: FloatArray
    correct: BoolArray | None = None

    @classmethod
    def of(cls, correct: BoolArray) -> Judged:
        """Judgements from what was classified right, shape (n, images).

        The standard errors are those of shares (`standard_errors`).
        """
        accuracy = 100.0 * correct.sum(axis=1) / correct.shape[1]  # rounded as `nn.judging` does
        error = standard_errors(accuracy, correct.shape[1])
        return cls(accuracy=accuracy, error=error, correct=correct)


def standard_errors(accuracy: FloatArray, images: int) -> FloatArray:
    """Standard errors of accuracies in percent on as many images, shape (n,); one image of either
    kind is added, so that they are never zero."""
    smoothed = (accuracy / 100 * images + 1) / (images + 2)
    return share_error(100 * smoothed, images)


class Judge(Protocol):
    """Judges architectures; what it gives depends on the architecture and the number of images
    alone, and more images continue the fewer ones."""

    name: str  # what the figures are, for people

    @property
    def most_images(self) -> int:
        """Most images that it can judge with; 0 where images play no part."""

    def __call__(self, archs: ArchBatch, images: int) -> Judged:
        """Judge architectures on the first `images` images of a fixed order, at most all."""
