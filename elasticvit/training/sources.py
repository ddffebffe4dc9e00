"""Where labelled images come from: what a data set spec names, read without downloading.

A source knows its labels at once and decodes an image only when asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from elasticvit.errors import DataError
from elasticvit.reading import shown
from elasticvit.training.idx_files import open_idx
from elasticvit.training.image_folders import open_folder
from elasticvit.training.image_tables import open_tables
from elasticvit.training.labels import check_source
from elasticvit.training.naming import named
from elasticvit.training.pool import ACCEPTED, Pool, Source
from elasticvit.training.timm_sets import open_timm


def find_source(spec: str) -> Source:
    """The data set that a spec names.

    Args:
        spec: One of the forms in `ACCEPTED`.

    Raises:
        DataError: The spec names no data set, or an unreadable or unusable one; the accepted
            forms are listed where none fits.
    """
    if spec == "digits":
        return _digits()
    try:
        source = _opened(spec)
        source.spec.encode()  # it is remembered in files, which hold UTF-8
    except UnicodeEncodeError as error:
        raise DataError(
            f"data set {named(spec)}: its path is not UTF-8, so it cannot be remembered; rename it"
        ) from error
    except OSError as error:
        raise DataError(
            f"data set {named(spec)} cannot be read: {named(error.filename or spec)}: "
            f"{error.strerror or error}; mend its permissions or links, or name another"
        ) from error
    except RuntimeError as error:  # links in a circle, or a home folder of nobody
        raise DataError(f"data set {named(spec)} is no path: {error}; name another") from error
    return check_source(source)


def _opened(spec: str) -> Source:
    """The data set that a spec other than `digits` names."""
    if not isinstance(spec, str) or "\0" in spec:
        raise DataError(f"data set is {shown(spec)}; accepted are: {ACCEPTED}")
    if spec.startswith("timm:"):
        return open_timm(spec)
    path = Path(spec).expanduser().resolve()
    if path.suffix == ".parquet" and path.is_file():
        return open_tables(path, [path])
    if path.is_dir():
        tables = sorted(p for p in path.glob("*.parquet") if p.is_file())
        if tables:
            return open_tables(path, tables)
        if any(path.glob("*-images-idx3-ubyte*")):
            return open_idx(path)
        return open_folder(path)
    raise DataError(f"no data set {shown(spec)}; accepted are: {ACCEPTED}")


def _digits() -> Source:
    """scikit-learn's digits: 1,797 grayscale images of 8x8 pixels with 17 gray levels, in one
    piece."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    pool = Pool(
        data.target.astype(np.int64),
        lambda i: Image.fromarray(pixels[i]),
        lambda i: f"image {i} of digits",
    )
    return Source("digits", "digits", tuple("0123456789"), pool, None, flips=False)
