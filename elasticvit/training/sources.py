"""Where labelled images come from: what a data set spec names, read without downloading.

A source knows its labels at once and decodes an image only when asked. Everything is read by
the library that owns the format: scikit-learn, pyarrow, torchvision or timm.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError

ACCEPTED = (
    "digits (shipped with scikit-learn); a folder with one sub-folder of images a class, or with "
    "train/ and val/ or test/ of that form; a .parquet file or a folder of them (image bytes and "
    "label, such as CIFAR-10); a folder with MNIST or Fashion-MNIST IDX files; "
    "timm:NAME:FOLDER for a data set of timm.data.create_dataset"
)
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "val", "valid", "validation", "eval", "t10k")


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled images in the order of their data set.

    Attributes:
        labels: Class of each image, shape (n,).
        read: Function that decodes the image at an index, in the mode and size of its file.
    """

    labels: IndexArray
    read: Callable[[int], Image.Image]

    def decoded(self, index: int) -> Image.Image:
        """The image at an index, in the mode and size of its file.

        Raises:
            DataError: The image cannot be decoded.
        """
        try:
            return self.read(index)
        except DataError:
            raise
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"image {index} of the data set cannot be decoded: {error}; remove it"
            ) from error

    def image(self, index: int) -> Image.Image:
        """The image at an index, in RGB.

        Raises:
            DataError: The image cannot be decoded.
        """
        return self.decoded(index).convert("RGB")


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before some of its images are held out.

    Attributes:
        spec: Canonical form of what the user wrote; paths are absolute.
        name: Name of the data set in reports.
        classes: Names of the classes, by label.
        train: Images of the official training part, or all images.
        test: Images of the official test part; None if the data set comes in one piece.
        flips: Whether a mirrored image still belongs to its class. Grayscale data sets are never
            mirrored, since they may hold digits or letters.
    """

    spec: str
    name: str
    classes: tuple[str, ...]
    train: Pool
    test: Pool | None
    flips: bool


def find_source(spec: str) -> Source:
    """The data set that a spec names.

    Args:
        spec: One of the forms in `ACCEPTED`.

    Raises:
        DataError: The spec names no data set, or an unreadable one; the accepted forms are
            listed.
    """
    if spec == "digits":
        return _digits()
    if spec.startswith("timm:"):
        return _checked(_timm(spec))
    path = Path(spec).expanduser().resolve()
    if path.suffix == ".parquet" and path.is_file():
        return _checked(_parquet(path, [path]))
    if path.is_dir():
        tables = sorted(path.glob("*.parquet"))
        if tables:
            return _checked(_parquet(path, tables))
        if any(path.glob("*-images-idx3-ubyte*")):
            return _checked(_idx(path))
        return _checked(_folder(path))
    raise DataError(f"no data set {spec!r}; accepted are: {ACCEPTED}")


def _checked(source: Source) -> Source:
    """The data set itself, if every class has training images and every label a class.

    Raises:
        DataError: A part is empty, a label has no class, or a class no training image.
    """
    for pool in (source.train, source.test):
        if pool is None:
            continue
        if len(pool.labels) == 0:
            raise DataError(f"{source.spec} holds no images; accepted are: {ACCEPTED}")
        low, high = int(pool.labels.min()), int(pool.labels.max())
        if low < 0 or high >= len(source.classes):
            raise DataError(
                f"{source.spec} has labels from {low} to {high}; they must count from 0 to "
                f"{len(source.classes) - 1}"
            )
    missing = sorted(set(range(len(source.classes))) - set(source.train.labels.tolist()))
    if missing or len(source.classes) < 2:
        raise DataError(
            f"{source.spec} has {len(source.classes)} classes, of which "
            f"{missing or 'none'} have no training image; at least two are needed, all with images"
        )
    return source


def _digits() -> Source:
    """scikit-learn's digits: 1,797 grayscale images of 8x8 pixels with 17 gray levels, in one
    piece."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    pool = Pool(data.target.astype(np.int64), lambda i: Image.fromarray(pixels[i]))
    return Source("digits", "digits", tuple("0123456789"), pool, None, flips=False)


def _folder(path: Path) -> Source:
    """One sub-folder of images a class, in one piece or below folders for training and test."""
    parts = {p.name.lower(): p for p in path.iterdir() if p.is_dir()}
    train = next((parts[n] for n in TRAIN_NAMES if n in parts), None)
    test = next((parts[n] for n in TEST_NAMES if n in parts), None)
    pool, classes = _class_folders(train or path)
    test_pool = None
    if train is not None and test is not None:
        test_pool, test_classes = _class_folders(test)
        if test_classes != classes:
            raise DataError(
                f"{test} has classes {', '.join(test_classes)}; {train} has {', '.join(classes)}; "
                "they must be the same"
            )
    return Source(str(path), path.name, classes, pool, test_pool, flips=_in_colour(pool))


def _class_folders(path: Path) -> tuple[Pool, tuple[str, ...]]:
    """Images of a folder with one sub-folder a class, and the names of the classes."""
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(path))
    except (FileNotFoundError, OSError) as error:
        raise DataError(
            f"{path} is not an image folder: {error}; accepted are: {ACCEPTED}"
        ) from error
    files = [file for file, _ in folder.samples]
    labels = np.array(folder.targets, dtype=np.int64)
    return Pool(labels, lambda i: _open(files[i])), tuple(folder.classes)


def _open(file: str) -> Image.Image:
    try:
        image = Image.open(file)
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} cannot be decoded: {error}; mend or remove it") from error
    return image


def _in_colour(pool: Pool) -> bool:
    return pool.decoded(0).mode not in ("L", "1", "I", "F", "I;16")


def _parquet(path: Path, tables: Sequence[Path]) -> Source:
    """Parquet tables of encoded images and labels, one row an image; files whose names contain
    test or validation are the test part."""
    test = [t for t in tables if any(n in t.stem.lower() for n in TEST_NAMES)]
    train = [t for t in tables if t not in test]
    if not train:
        train, test = test, []
    pool = _parquet_pool(train)
    classes = tuple(str(c) for c in range(int(pool.labels.max(initial=-1)) + 1))
    name = path.stem if path.suffix else path.name
    held = _parquet_pool(test) if test else None
    return Source(str(path), name, classes, pool, held, flips=_in_colour(pool))


def _parquet_pool(tables: Sequence[Path]) -> Pool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pa.concat_tables([pq.read_table(t) for t in tables])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{tables[0]} is not a parquet table: {error}") from error
    image = next((f.name for f in table.schema if _holds_images(f.type)), None)
    label = next((f.name for f in table.schema if pa.types.is_integer(f.type)), None)
    if image is None or label is None or len(table) == 0:
        raise DataError(
            f"{tables[0]} has columns {', '.join(map(str, table.schema.names))} and {len(table)} "
            "rows; needed are one of image bytes and one of whole-number labels"
        )
    column = table.column(image).combine_chunks()
    if pa.types.is_struct(column.type):
        column = column.field("bytes")
    labels = table.column(label).to_numpy().astype(np.int64)
    return Pool(labels, lambda i: Image.open(io.BytesIO(column[i].as_py())))


def _holds_images(kind: Any) -> bool:
    """Whether a column of this type holds encoded images: bytes, or a record with bytes."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _holds_images(f.type) for f in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _idx(path: Path) -> Source:
    """IDX files of MNIST, Fashion-MNIST and other data sets of that format, plain or gzipped."""
    train = _idx_pool(path, "train")
    test = _idx_pool(path, "t10k") if any(path.glob("t10k-images-idx3-ubyte*")) else None
    classes = tuple(str(c) for c in range(int(train.labels.max(initial=-1)) + 1))
    return Source(str(path), path.name, classes, train, test, flips=False)


def _idx_pool(path: Path, part: str) -> Pool:
    images = _read_idx(path, f"{part}-images-idx3-ubyte", ndim=3)
    labels = _read_idx(path, f"{part}-labels-idx1-ubyte", ndim=1)
    if len(images) != len(labels):
        raise DataError(f"{path}: {part} has {len(images)} images but {len(labels)} labels")
    return Pool(labels.astype(np.int64), lambda i: Image.fromarray(images[i]))


def _read_idx(path: Path, name: str, ndim: int) -> npt.NDArray[np.uint8]:
    """The array of an IDX file: two zero bytes, type 8 (unsigned byte), the number of dimensions,
    the big-endian size of each, the values."""
    plain, packed = path / name, path / f"{name}.gz"
    try:
        raw = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    except (OSError, EOFError) as error:
        raise DataError(f"{plain} (or .gz) cannot be read: {error}") from error
    start = 4 + 4 * ndim
    sides = tuple(int(s) for s in np.frombuffer(raw[4:start], dtype=">u4"))
    if raw[:4] != bytes([0, 0, 8, ndim]) or len(raw) != start + int(np.prod(sides)):
        raise DataError(f"{plain} is truncated or not an IDX file of rank {ndim}")
    return np.frombuffer(raw, dtype=np.uint8, offset=start).reshape(sides)


def _timm(spec: str) -> Source:
    """A random-access data set that `timm.data.create_dataset` opens, such as
    `timm:torch/cifar10:/data`."""
    parts = spec.split(":", 2)
    if len(parts) < 3 or not all(parts):
        raise DataError(f"{spec!r} is not timm:NAME:FOLDER, for example timm:torch/cifar10:/data")
    name, folder = parts[1], Path(parts[2]).expanduser().resolve()
    train, classes = _timm_pool(name, folder, "train")
    try:
        test, _ = _timm_pool(name, folder, "validation")
    except DataError:
        test = None
    if test is not None and _same_files(train, test):
        test = None
    spec = f"timm:{name}:{folder}"
    return Source(spec, name.replace("/", "-"), classes, train, test, flips=_in_colour(train))


def _timm_pool(name: str, root: Path, split: str) -> tuple[Pool, tuple[str, ...]]:
    from timm.data import create_dataset

    try:
        dataset = create_dataset(name, root=str(root), split=split, download=False)
        count = len(dataset)
    except (Exception, AssertionError) as error:  # its readers raise whatever their library does
        raise DataError(
            f"timm cannot open {name!r} in {root}: {error}; nothing is downloaded, so the files "
            f"must be there. Accepted are: {ACCEPTED}"
        ) from error
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"timm's {name!r} is a stream; a data set with random access is needed")
    reader = getattr(dataset, "reader", None)
    targets = getattr(dataset, "targets", None)
    samples = getattr(reader, "samples", None)
    if targets is None and samples is not None:
        targets = [label for _, label in samples]
    if targets is None:
        targets = [dataset[i][1] for i in range(count)]
    labels = np.array(targets, dtype=np.int64)
    classes = getattr(dataset, "classes", None) or getattr(reader, "class_to_idx", None)
    names = tuple(map(str, classes)) if classes else tuple(map(str, range(int(labels.max()) + 1)))
    return Pool(labels, lambda i: dataset[i][0]), names


def _same_files(a: Pool, b: Pool) -> bool:
    """Whether two parts are the same images: timm returns a folder without parts whole,
    whichever part is asked for."""
    return len(a.labels) == len(b.labels) and a.decoded(0).tobytes() == b.decoded(0).tobytes()
