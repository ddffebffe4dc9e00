"""Labels of images: whole numbers that count the classes from 0, each with a training image."""

from __future__ import annotations

from typing import Any

import numpy as np

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError
from elasticvit.reading import shown
from elasticvit.training.naming import listed, named
from elasticvit.training.pool import Source

RULE = "labels count the classes from 0, and every class needs a training image: number them anew"


def checked_labels(values: Any, where: str) -> IndexArray:
    """Labels as an array of shape (n,), if they are whole numbers from 0.

    Args:
        values: Array, or list of numbers, one an image.
        where: What a message calls them: a file, with its column.

    Raises:
        DataError: There are none, or one is not a whole number, or negative.
    """
    try:
        labels = np.asarray(values)
    except (ValueError, TypeError, OverflowError):
        labels = np.asarray(values, dtype=object)
    if labels.ndim != 1 or len(labels) == 0:
        raise DataError(f"{where}: there are no labels; every image needs one")
    if labels.dtype.kind not in "iu":
        wrong = next((v for v in labels.tolist() if not isinstance(v, int)), labels.tolist()[0])
        raise DataError(
            f"{where}: a label is {shown(wrong)}; labels are whole numbers that count from 0"
        )
    if int(labels.min()) < 0:
        raise DataError(
            f"{where}: the least label is {int(labels.min())}; labels count from 0, without "
            "images of unknown class: number them anew, or remove those images"
        )
    if int(labels.max()) >= 2**62:
        raise DataError(f"{where}: the greatest label is {int(labels.max())}; {RULE}")
    return labels.astype(np.int64)


def class_count(labels: IndexArray, where: str) -> int:
    """Number of classes that the labels of a training part count. Since every class needs a
    training image, it is at most the number of images.

    Raises:
        DataError: The greatest label is not below the number of images.
    """
    greatest = int(labels.max())
    if greatest >= len(labels):
        raise DataError(
            f"{where}: the greatest label is {greatest}, but there are {len(labels):,} training "
            f"images; {RULE}"
        )
    return greatest + 1


def check_source(source: Source) -> Source:
    """The data set itself, if it has two classes, each with training images, and every label has
    a class.

    Raises:
        DataError: A label has no class, a class no training image, or there is one class only.
    """
    count, spec = len(source.classes), named(source.spec)
    for pool, part in ((source.train, "training"), (source.test, "test")):
        greatest = -1 if pool is None else int(pool.labels.max())
        if greatest >= count:
            raise DataError(
                f"{spec}: the greatest label of the {part} images is {greatest}, but there "
                f"are {count:,} classes, which count from 0; number the labels anew"
            )
    present = np.bincount(source.train.labels, minlength=count)
    missing = np.flatnonzero(present == 0)
    if count < 2:
        raise DataError(f"{spec} has one class, {listed(source.classes)}; at least two are needed")
    if len(missing):
        names = listed(source.classes[i] for i in missing)
        raise DataError(
            f"{spec} has {count:,} classes, but no training image of {names}; add images, "
            "or number the labels anew from 0"
        )
    return source
