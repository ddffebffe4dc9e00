"""Data sets in IDX files: MNIST, Fashion-MNIST and others of that format, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from elasticvit.errors import DataError
from elasticvit.training.decoding import MOST_PIXELS
from elasticvit.training.labels import checked_labels, class_count
from elasticvit.training.naming import named
from elasticvit.training.pool import Pool, Source

MOST_BYTES = 2**34  # of pixels in one file
MEND = "put a good copy back"


def open_idx(path: Path) -> Source:
    """The IDX files of a folder; those whose names begin with t10k are the test part.

    Raises:
        DataError: A file is missing or damaged, or holds labels that cannot be.
    """
    train = _pool(path, "train")
    test = _pool(path, "t10k") if any(path.glob("t10k-images-idx3-ubyte*")) else None
    where = named(path / "train-labels-idx1-ubyte")
    classes = tuple(map(str, range(class_count(train.labels, where))))
    return Source(str(path), path.name, classes, train, test, flips=False)


def _pool(path: Path, part: str) -> Pool:
    images = _read(path, f"{part}-images-idx3-ubyte", ndim=3)
    labels = _read(path, f"{part}-labels-idx1-ubyte", ndim=1)
    if len(images) != len(labels):
        raise DataError(
            f"{named(path)}: {part} has {len(images):,} images but {len(labels):,} labels; {MEND}"
        )
    if images[:1].size == 0 or images[0].size > MOST_PIXELS:
        sides = " x ".join(map(str, images.shape))
        raise DataError(
            f"{named(path)}: the {part} images have the form {sides}; at least one image, with 1 "
            f"to {MOST_PIXELS:,} pixels each, is needed"
        )
    return Pool(
        checked_labels(labels, named(path / f"{part}-labels-idx1-ubyte")),
        lambda i: Image.fromarray(images[i]),
        lambda i: f"image {i} of {named(path / part)}-images-idx3-ubyte",
    )


def _read(path: Path, name: str, ndim: int) -> npt.NDArray[np.uint8]:
    """The array of an IDX file: two zero bytes, type 8 (unsigned byte), the number of dimensions,
    the big-endian size of each, the values. No more is read, or unpacked, than the sizes ask for.
    """
    plain, packed = path / name, path / f"{name}.gz"
    file = plain if plain.exists() else packed
    try:
        with gzip.open(file) if file is packed else file.open("rb") as opened:
            stream = cast(BinaryIO, opened)
            head = stream.read(4 + 4 * ndim)
            if head[:4] != bytes([0, 0, 8, ndim]) or len(head) < 4 + 4 * ndim:
                raise DataError(
                    f"{named(file)} is truncated or not an IDX file of bytes in {ndim} dimensions; "
                    f"{MEND}"
                )
            sides = tuple(int(s) for s in np.frombuffer(head[4:], dtype=">u4"))
            size = math.prod(sides)
            if size > MOST_BYTES:
                raise DataError(
                    f"{named(file)} claims {' x '.join(map(str, sides))} bytes; at most "
                    f"{MOST_BYTES:,} are read"
                )
            raw = _exactly(stream, size)
    except FileNotFoundError as error:
        raise DataError(f"there is no {named(plain)}, plain or with .gz; {MEND}") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{named(file)} cannot be read: {reason}; {MEND}") from error
    if len(raw) != size:
        what = "is truncated" if len(raw) < size else "is longer"
        raise DataError(
            f"{named(file)} {what}: its header claims {' x '.join(map(str, sides))} bytes; {MEND}"
        )
    return np.frombuffer(raw, dtype=np.uint8).reshape(sides)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    """Up to `size + 1` bytes of a stream, as long as there are any."""
    parts: list[bytes] = []
    left = size + 1
    while left and (part := stream.read(min(left, 2**24))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
