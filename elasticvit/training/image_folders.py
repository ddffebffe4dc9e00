"""Data sets of image files: a folder with one sub-folder a class.

Hidden files and folders are left out: notebooks, macOS and version control leave some behind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np

from elasticvit.errors import DataError
from elasticvit.training.decoding import decoded
from elasticvit.training.naming import listed, named
from elasticvit.training.pool import ACCEPTED, TEST_NAMES, TRAIN_NAMES, Pool, Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def open_folder(path: Path) -> Source:
    """One sub-folder of images a class, in one piece or below folders for training and test.

    Raises:
        DataError: It has no class folders, one without images, or other classes for the test.
        OSError: A folder cannot be read.
    """
    parts = {p.name.lower(): p for p in sorted(path.iterdir()) if p.is_dir()}
    train = next((parts[n] for n in TRAIN_NAMES if n in parts), None)
    test = next((parts[n] for n in TEST_NAMES if n in parts), None)
    pool, classes = _class_folders(train or path)
    test_pool = None
    if train is not None and test is not None:
        test_pool, test_classes = _class_folders(test)
        if test_classes != classes:
            raise DataError(
                f"{named(test)} has classes {listed(test_classes)}; {named(train)} has "
                f"{listed(classes)}; they must be the same"
            )
    return Source(str(path), path.name, classes, pool, test_pool, flips=pool.in_colour)


def _class_folders(path: Path) -> tuple[Pool, tuple[str, ...]]:
    """Images of a folder with one sub-folder a class, and the names of the classes."""
    classes = sorted(
        entry.name for entry in os.scandir(path) if entry.is_dir() and not _hidden(entry.name)
    )
    if not classes:
        raise DataError(
            f"{named(path)} is not an image folder: it has no sub-folder of images for each class; "
            f"accepted are: {ACCEPTED}"
        )
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images(path / name)
        if not found:
            raise DataError(
                f"{named(path / name)} holds no image ({', '.join(SUFFIXES)}); a folder is a class "
                "and needs images: add some, or remove it"
            )
        files += found
        labels += [label] * len(found)

    def name_of(index: int) -> str:
        return named(files[index])

    return Pool(
        np.array(labels, dtype=np.int64), lambda i: decoded(files[i], name_of(i)), name_of
    ), tuple(c.encode(errors="surrogateescape").decode(errors="replace") for c in classes)


def _images(folder: Path) -> list[str]:
    """Paths of all images in and below a folder, sorted by folder and name. Links are followed,
    but no folder is read twice, so that links in a circle end."""
    found: list[tuple[str, list[str]]] = []
    seen: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        facts = os.stat(root)
        if (facts.st_dev, facts.st_ino) in seen:
            folders.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not _hidden(name))
        images = [n for n in sorted(names) if n.lower().endswith(SUFFIXES) and not _hidden(n)]
        found.append((root, images))
    return [os.path.join(root, name) for root, names in sorted(found) for name in names]


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _refuse(error: OSError) -> NoReturn:
    raise error
