"""Soft labels on disk: what teachers said of each training image, so that none of them runs while
a supernet trains.

They are of the images as they are, neither varied nor cropped at random, so they fit an augmented
image less well than a teacher that sees it. A file keeps the most probable classes of each image
in half precision; what is left over is spread evenly over the others.

Shapes: n images of the training part, k classes that are kept, K classes, B batch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from elasticvit.errors import DataError
from elasticvit.files import write_atomic
from elasticvit.nn.safetensors_file import read_safetensors, safetensors_bytes
from elasticvit.nn.weights import check_tensor
from elasticvit.reading import Format, Positive, Whole, seal
from elasticvit.training.data import ImageData
from elasticvit.training.distillation import Sha256, TeacherInfo
from elasticvit.training.naming import named
from elasticvit.training.parts import DataPart

SCHEMA = 1
KEPT = 16  # classes an image; a sharpened output has next to nothing beyond them
FINGERPRINT_IMAGES = 64
SUM_MARGIN = 0.01  # by which probabilities in half precision may add up to more than 1
INFO, PROBABILITIES, CLASSES = "soft_labels", "probabilities", "classes"


class SoftLabelsInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What soft labels are of.

    Attributes:
        data: Canonical spec of the data set.
        fingerprint: SHA-256 of the training part, see `fingerprint`.
        rows: Number of images of the training part.
        classes: Number of classes of the data set.
        kept: Number of classes that are kept for each image.
        resolution: Side of the images that the teachers were given, in pixels.
        temperature: What the teachers' logits were divided by.
        teachers: The teachers.
        content: SHA-256 of the soft labels themselves.
    """

    schema: int = SCHEMA
    data: str
    fingerprint: Sha256
    rows: Whole
    classes: Whole
    kept: Whole
    resolution: Whole
    temperature: Positive
    teachers: Annotated[tuple[TeacherInfo, ...], Meta(min_length=1)]
    content: Sha256


SOFT_LABELS_FORMAT = Format(
    kind=SoftLabelsInfo,
    what="soft labels of teachers",
    error=DataError,
    mend="write the soft labels again, or train without them",
    settings=("soft_labels",),
    schema=SCHEMA,
    sealed=True,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class SoftLabels:
    """What teachers said of each image of a training part.

    Attributes:
        info: What they are of.
        values: Probabilities of the classes that are kept (n, k), float16.
        kept: Indices of these classes (n, k), int32; None if all classes are kept, in order.
    """

    info: SoftLabelsInfo
    values: Tensor
    kept: Tensor | None

    def probabilities(self, rows: Tensor) -> Tensor:
        """Probabilities (B, K), float32, of images at these rows of the training part (B,)."""
        rows = rows.to(self.values.device)
        values = self.values[rows].float()
        if self.kept is not None:
            others = self.info.classes - self.info.kept
            rest = (1 - values.sum(dim=1, keepdim=True)).clamp_min(0) / others
            whole = rest.expand(-1, self.info.classes).clone()
            values = whole.scatter_(1, self.kept[rows].long(), values)
        return values / values.sum(dim=1, keepdim=True)

    def check(self, data: ImageData) -> None:
        """Check that they are of a data set.

        Raises:
            DataError: They are of another one.
        """
        info, facts = self.info, data.info
        other = f"the soft labels are of {named(info.data)}"
        again = "write soft labels of this data set, or train without them"
        settings = ["soft_labels", "data"]
        if (info.classes, info.rows) != (facts.classes, facts.train_images):
            raise DataError(
                f"{other}, with {info.classes:,} classes and {info.rows:,} training images; "
                f"{facts.name} has {facts.classes:,} and {facts.train_images:,}: {again}",
                settings=settings,
            )
        if info.fingerprint != fingerprint(data.train):
            raise DataError(
                f"{other}, whose training images or labels differ from those of {facts.name}, "
                f"although there are as many: {again}",
                settings=settings,
            )

    def save(self, path: Path) -> None:
        """Write them to one file, atomically.

        Raises:
            FileError: It cannot be written.
        """
        tensors = {PROBABILITIES: self.values}
        if self.kept is not None:
            tensors[CLASSES] = self.kept
        info = json.dumps(seal(msgspec.to_builtins(self.info)))
        write_atomic(path, safetensors_bytes(tensors, {INFO: info}))

    @classmethod
    def load(cls, path: Path) -> SoftLabels:
        """Inverse of `save`.

        Raises:
            DataError: The file is missing, truncated, damaged or something else.
        """
        form = SOFT_LABELS_FORMAT
        tensors, metadata = read_safetensors(path, form)
        if INFO not in metadata:
            raise form.failure(f"{path} is not {form.what}: it does not say what it is of")
        info = form.parse_json(metadata[INFO], str(path))
        if not 2 <= info.kept <= info.classes:
            raise form.failure(
                f"{path}: kept is {info.kept}; it must be from 2 to classes, {info.classes}"
            )
        shape, types = (info.rows, info.kept), {PROBABILITIES: torch.float16}
        if info.kept < info.classes:
            types[CLASSES] = torch.int32
        if tensors.keys() != types.keys():
            raise form.failure(
                f"{path} holds {', '.join(sorted(tensors)) or 'nothing'}; it must hold "
                f"{' and '.join(types)}"
            )
        for name, dtype in types.items():
            expected = torch.empty(shape, dtype=dtype, device="meta")
            check_tensor(tensors[name], expected, f"{path}: {name}", form)
        values, kept = tensors[PROBABILITIES], tensors.get(CLASSES)
        if content_hash(values, kept) != info.content:
            raise form.failure(f"{path} was changed or damaged: its checksum does not match")
        _check_values(values, kept, info, path)
        return cls(info=info, values=values, kept=kept)


def compressed(probabilities: Tensor, kept: int) -> tuple[Tensor, Tensor | None]:
    """The most probable classes of images: probabilities (n, k) in half precision, and the indices
    of these classes (n, k), or None if all are kept.

    Args:
        probabilities: Probabilities (n, K).
        kept: Number of classes k that are kept at most.
    """
    if kept >= probabilities.shape[1]:
        return probabilities.to(torch.float16), None
    values, indices = probabilities.topk(kept, dim=1)
    return values.to(torch.float16), indices.to(torch.int32)


def content_hash(values: Tensor, kept: Tensor | None) -> str:
    """SHA-256 of soft labels."""
    digest = hashlib.sha256(values.contiguous().numpy().tobytes())
    if kept is not None:
        digest.update(kept.contiguous().numpy().tobytes())
    return digest.hexdigest()


def fingerprint(part: DataPart) -> str:
    """SHA-256 of the labels of a part and of a few of its images, spread evenly over it. It stays
    the same when the data set is moved to another folder.

    Raises:
        DataError: An image cannot be decoded.
    """
    digest = hashlib.sha256(part.labels.astype("<i8").tobytes())
    if part.turned:  # earlier versions did not turn images
        digest.update(b"upright")
    for row in part.rows[:: max(1, len(part) // FINGERPRINT_IMAGES)]:
        image = part.pool.image(int(row))
        digest.update(f"{image.width}x{image.height}".encode() + image.tobytes())
    return digest.hexdigest()


def _check_values(values: Tensor, kept: Tensor | None, info: SoftLabelsInfo, path: Path) -> None:
    """Check that probabilities and classes are such.

    Raises:
        DataError: They are not.
    """
    sums = values.float().sum(dim=1)
    least = float(values.min())
    if least < 0 or float(sums.max()) > 1 + SUM_MARGIN or float(sums.min()) <= 0:
        raise SOFT_LABELS_FORMAT.failure(
            f"{path}: {PROBABILITIES} of an image are negative, or add up to 0 or more than 1"
        )
    if kept is not None and not 0 <= int(kept.min()) <= int(kept.max()) < info.classes:
        raise SOFT_LABELS_FORMAT.failure(
            f"{path}: {CLASSES} are {int(kept.min())} to {int(kept.max())}; there are "
            f"{info.classes:,} classes, which count from 0"
        )
