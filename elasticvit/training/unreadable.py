"""Images that cannot be read: passed over, counted once each, and named at the end.

One damaged file in a large folder should not cost a night of training. Another image of the same
class takes its place, always the same one, so that batches stay what they are. More than one in a
hundred is no accident, and stops the work.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError
from elasticvit.training.pool import Pool

if TYPE_CHECKING:
    from PIL import Image

MOST_SHARE = 0.01  # of the images of a part
NAMED = 3  # in a message
UNREADABLE, NOT_REPLACED = 1, 2  # states of an image


class Unreadable:
    """Which images of a part of a data set could not be read, in all processes that decode it.

    Args:
        pool: Images that the part is taken from.
        rows: Indices of its images in the pool, shape (n,).
    """

    def __init__(self, pool: Pool, rows: IndexArray) -> None:
        self.pool, self.rows = pool, rows
        shared = mmap.mmap(-1, max(1, len(rows)))  # with the processes that decode, by their fork
        self._states: npt.NDArray[np.uint8] = np.frombuffer(shared, dtype=np.uint8)[: len(rows)]

    def image(self, index: int) -> Image.Image:
        """The image at an index of the part, in RGB; if it cannot be read the next one of its
        class that can.

        Raises:
            DataError: So many images cannot be read that something else is wrong.
        """
        try:
            return self.pool.image(int(self.rows[index]))
        except DataError:
            self._states[index] = max(self._states[index], UNREADABLE)
            self.check()
            for other in self._instead(index):
                try:
                    return self.pool.image(int(self.rows[other]))
                except DataError:
                    self._states[other] = max(self._states[other], UNREADABLE)
                    self.check()
            self._states[index] = NOT_REPLACED
            self.check()
            raise

    def _instead(self, index: int) -> IndexArray:
        """Indices of the other images of a class, from the one behind an image on."""
        labels = self.pool.labels[self.rows]
        same = np.flatnonzero(labels == labels[index])
        behind = int(np.searchsorted(same, index))
        return np.concatenate([same[behind + 1 :], same[:behind]])

    def check(self) -> None:
        """Check that no more than one in a hundred images was unreadable.

        Raises:
            DataError: More were, or no image of a class can be read.
        """
        alone = np.flatnonzero(self._states == NOT_REPLACED)
        if len(alone):
            raise DataError(
                f"{self._problem(int(alone[0]))}, and neither can the other images of its class; "
                "mend one of them"
            )
        if len(self) > MOST_SHARE * len(self.rows):
            raise DataError(
                f"{len(self):,} of {len(self.rows):,} images cannot be read, which is more than "
                f"{MOST_SHARE:.0%}: {self.names()}; mend them, or put others in their places (the "
                "choice of held-out images changes if the number of images does)"
            )

    def __len__(self) -> int:
        """Number of images that could not be read so far."""
        return int(np.count_nonzero(self._states))

    @property
    def indices(self) -> tuple[int, ...]:
        """Their indices in the part."""
        return tuple(map(int, np.flatnonzero(self._states)))

    def add(self, indices: Sequence[int]) -> None:
        """Take note of images that could not be read earlier."""
        known = [index for index in indices if index < len(self.rows)]
        self._states[known] = np.maximum(self._states[known], UNREADABLE)

    def names(self) -> str:
        """The first few of them, with what is wrong."""
        shown = [self._problem(index) for index in self.indices[:NAMED]]
        more = len(self) - len(shown)
        return "; ".join(shown) + (f"; and {more:,} more" if more > 0 else "")

    def _problem(self, index: int) -> str:
        row = int(self.rows[index])
        try:
            self.pool.image(row)
        except DataError as error:
            return str(error).removesuffix("; mend or remove it")
        return f"{self.pool.name(row)} could not be read earlier"
