"""A part of a data set: which images, and their pixels where memory holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from elasticvit.training.sources import LabelArray, Pool

IndexArray = npt.NDArray[np.int64]
MEMORY_LIMIT_BYTES = 512 * 2**20  # decoded images up to this stay in memory


@dataclass(frozen=True, eq=False)
class Split:
    """One part: rows of a pool of images.

    Attributes:
        pool: the images it is taken from.
        rows: which of them, shape (n,).
    """

    pool: Pool
    rows: IndexArray

    @property
    def labels(self) -> LabelArray:
        return self.pool.labels[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def pixels(self) -> npt.NDArray[np.uint8] | None:
        """All images decoded, shape (n, H, W, 3); None when their sizes differ or they need
        more than `MEMORY_LIMIT_BYTES`."""
        first = np.asarray(self.pool.image(int(self.rows[0])))
        if first.nbytes * len(self.rows) > MEMORY_LIMIT_BYTES:
            return None
        pixels = np.empty((len(self.rows), *first.shape), dtype=np.uint8)
        for i, row in enumerate(self.rows):
            image = self.pool.image(int(row))
            if (image.height, image.width) != first.shape[:2]:
                return None
            pixels[i] = np.asarray(image)
        return pixels
