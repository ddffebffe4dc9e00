"""A part of a data set: which images, and their pixels where memory holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from PIL import Image

from elasticvit.arrays import IndexArray
from elasticvit.training.decoding import was_turned
from elasticvit.training.pool import Pool
from elasticvit.training.unreadable import Unreadable

MEMORY_LIMIT_BYTES = 512 * 2**20  # decoded images up to this stay in memory


@dataclass(frozen=True, eq=False)
class DataPart:
    """Some of the images of a pool, such as those that are trained on.

    Attributes:
        pool: Images that the part is taken from.
        rows: Indices of its images in the pool, shape (n,).
    """

    pool: Pool
    rows: IndexArray

    @property
    def labels(self) -> IndexArray:
        """Class of each image, shape (n,)."""
        return self.pool.labels[self.rows]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    @cached_property
    def unreadable(self) -> Unreadable:
        """Its images that could not be read so far."""
        return Unreadable(self.pool, self.rows)

    def image(self, index: int) -> Image.Image:
        """The image at an index, in RGB; if it cannot be read another one of its class.

        Raises:
            DataError: More than a hundredth of the images cannot be read.
        """
        return self.unreadable.image(index)

    @property
    def pixels(self) -> npt.NDArray[np.uint8] | None:
        """All images decoded, RGB, shape (n, H, W, 3); None if their sizes differ or they need
        more than `MEMORY_LIMIT_BYTES`."""
        return self._in_memory[0]

    @property
    def turned(self) -> bool:
        """Whether an image may be turned by the orientation in its EXIF data, so that earlier
        versions, which left all as they lie in their files, saw it otherwise: known where memory
        holds all images, and else taken to be so."""
        return self._in_memory[1]

    @cached_property
    def _in_memory(self) -> tuple[npt.NDArray[np.uint8] | None, bool]:
        first = np.asarray(self.image(0))
        if first.nbytes * len(self.rows) > MEMORY_LIMIT_BYTES:
            return None, True
        turned = False
        pixels = np.empty((len(self.rows), *first.shape), dtype=np.uint8)
        for i in range(len(self.rows)):
            image = self.image(i)
            if (image.height, image.width) != first.shape[:2]:
                return None, True
            turned = turned or was_turned(image)
            pixels[i] = np.asarray(image)
        return pixels, turned
