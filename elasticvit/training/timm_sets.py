"""Data sets that timm opens: `timm:NAME:FOLDER`, never downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from elasticvit.errors import DataError
from elasticvit.training.decoding import decoded, upright
from elasticvit.training.labels import checked_labels, class_count
from elasticvit.training.naming import listed, named
from elasticvit.training.pool import ACCEPTED, Pool, Source


def open_timm(spec: str) -> Source:
    """A random-access data set that `timm.data.create_dataset` opens, such as
    `timm:torch/cifar10:/data`.

    Raises:
        DataError: timm cannot open it, or it has labels that cannot be.
    """
    parts = spec.split(":", 2)
    if len(parts) < 3 or not all(parts):
        raise DataError(
            f"data set {named(spec)} is not timm:NAME:FOLDER; name it like timm:torch/cifar10:/data"
        )
    name, folder = parts[1], Path(parts[2]).expanduser().resolve()
    where = f"timm's {named(name)} in {named(folder)}"
    train, classes = _pool(name, folder, "train")
    try:
        test, test_classes = _pool(name, folder, "validation")
    except DataError:
        test, test_classes = None, None
    if classes is not None and test_classes is not None and test_classes != classes:
        raise DataError(
            f"{where} has classes {listed(test_classes)} for "
            f"validation, and {listed(classes)} to train on; they must be the same"
        )
    if test is not None and _same_images(train, test):
        test = None
    spec = f"timm:{name}:{folder}"
    if classes is None:
        classes = tuple(map(str, range(class_count(train.labels, where))))
    return Source(spec, name.replace("/", "-"), classes, train, test, flips=train.in_colour)


def _pool(name: str, root: Path, split: str) -> tuple[Pool, tuple[str, ...] | None]:
    """The images of a part, and the names of their classes if timm knows them."""
    from timm.data import create_dataset

    where = f"timm's {named(name)} in {named(root)}"
    try:
        dataset = create_dataset(name, root=str(root), split=split, download=False)
        count = len(dataset)
    except MemoryError:
        raise
    except Exception as error:  # its readers raise whatever their library does
        reason = named((str(error) or type(error).__name__).splitlines()[0])
        raise DataError(
            f"{where} cannot be opened: {reason}; nothing is downloaded, so the files must be "
            f"there. Accepted are: {ACCEPTED}"
        ) from error
    if not hasattr(dataset, "__getitem__"):
        raise DataError(f"{where} is a stream; a data set with random access is needed")
    reader = getattr(dataset, "reader", None)
    samples = getattr(reader, "samples", None)
    targets = getattr(dataset, "targets", None)

    def name_of(index: int) -> str:
        if samples is not None:
            return named(samples[index][0])
        return f"image {index} of {where}"

    def read(index: int) -> Image.Image:
        # timm would put the next image in the place of one that it cannot read
        if samples is not None:
            return decoded(samples[index][0], name_of(index))
        return upright(dataset[index][0])

    if targets is None and samples is not None:
        targets = [label for _, label in samples]
    if targets is None:
        targets = [_label(dataset, i, where) for i in range(count)]
    labels = checked_labels(targets, where)
    known = getattr(dataset, "classes", None) or getattr(reader, "class_to_idx", None)
    return Pool(labels, read, name_of), tuple(map(str, known)) if known else None


def _label(dataset: Any, index: int, where: str) -> Any:
    """The label of an image of a data set that tells it with the image only."""
    try:
        return dataset[index][1]
    except MemoryError:
        raise
    except Exception as error:  # its readers raise whatever their library does
        reason = named((str(error) or type(error).__name__).splitlines()[0])
        raise DataError(
            f"image {index} of {where} cannot be read: {reason}; mend or remove it"
        ) from error


def _same_images(a: Pool, b: Pool) -> bool:
    """Whether two parts are the same images: timm returns a folder without parts whole,
    whichever part is asked for."""
    return len(a.labels) == len(b.labels) and a.decoded(0).tobytes() == b.decoded(0).tobytes()
