"""The split of a data set's training images into some to keep and some to hold out."""

from __future__ import annotations

import numpy as np

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError
from elasticvit.training.naming import named
from elasticvit.training.pool import Source

LEAST_OF_CLASS = 2  # images that can be split into some to keep and some to hold out
SOUND_IMAGES = 20  # of a class


def hold_out(
    source: Source, rows: IndexArray, share: float, seed: int
) -> tuple[IndexArray, IndexArray]:
    """Rows that are kept and rows that are held out, both sorted, shapes (n,) and (m,); every
    class is held out in proportion.

    Args:
        source: The data set.
        rows: Indices of those of its training images that are split.
        share: Share that is held out.
        seed: Random seed of the choice.

    Raises:
        DataError: Too few images to hold out some of each class.
    """
    from sklearn.model_selection import train_test_split

    try:
        kept, held = train_test_split(
            rows, test_size=share, stratify=source.train.labels[rows], random_state=seed
        )
    except ValueError as error:
        raise _too_few(source, rows, share) from error
    return np.sort(kept), np.sort(held)


def _too_few(source: Source, rows: IndexArray, share: float) -> DataError:
    """The error of a data set that has too few images to hold some of each class out."""
    counts = np.bincount(source.train.labels, minlength=len(source.classes))
    least = int(np.argmin(counts))
    left = np.bincount(source.train.labels[rows], minlength=len(source.classes))
    if left.min() < LEAST_OF_CLASS:
        images = "1 image" if counts[least] == 1 else f"{counts[least]} images"
        few = (
            f"class {named(source.classes[least])} has {images} to train on, too few to hold some "
            "of them out; add images of this class, or remove it"
        )
    else:
        few = (
            f"there are {len(rows):,} images of {len(source.classes):,} classes to train on, and "
            f"{share:.0%} of them, which are held out, are fewer than one a class; add images"
        )
    return DataError(
        f"{named(source.spec)}: {few} (about {SOUND_IMAGES} a class are the least that every part "
        "gets some of)"
    )
