"""Soft labels made: teachers judge each image of a training part once.

Shapes: n images of the training part, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from elasticvit.errors import ModelError
from elasticvit.nn.side_by_side import SideBySide, in_parts
from elasticvit.training.data import ImageData
from elasticvit.training.distillation import Distillation
from elasticvit.training.soft_labels import (
    KEPT,
    SoftLabels,
    SoftLabelsInfo,
    compressed,
    content_hash,
    fingerprint,
)
from elasticvit.training.targets import Teacher


def made_soft_labels(
    teacher: Teacher,
    data: ImageData,
    distillation: Distillation,
    *,
    resolution: int,
    batch_size: int,
    device: torch.device,
    progress: Callable[[int], None],
    threads: SideBySide | None = None,
) -> tuple[SoftLabels, float]:
    """What teachers say of the images of a training part as they are, in its order.

    Args:
        teacher: The teachers.
        data: The data set.
        distillation: Which teachers these are.
        resolution: Side of the images that the teachers are given, in pixels.
        batch_size: Images at a time.
        device: Torch device of the teachers.
        progress: Called with the number of images that are done.
        threads: Threads that the teachers run in; None: they run on torch's.

    Returns:
        The soft labels, and the share of the images whose most probable class is their label, in
        percent.

    Raises:
        ModelError: What the teachers say is not finite.
        DataError: An image cannot be decoded.
    """
    parts, right, done = [], 0, 0
    for images, labels in data.loader("train", resolution=resolution, batch_size=batch_size):
        probabilities = in_parts(threads, teacher.probabilities, images.to(device)).cpu()
        if not torch.isfinite(probabilities).all():
            raise ModelError(
                "what the teachers say of an image are no finite numbers; give other weights",
                settings=["teacher"],
            )
        parts.append(compressed(probabilities, KEPT))
        right += int((probabilities.argmax(dim=1) == labels).sum())
        done += len(labels)
        progress(done)
    values = torch.cat([part[0] for part in parts])
    indices = [part[1] for part in parts if part[1] is not None]
    kept = torch.cat(indices) if indices else None
    info = SoftLabelsInfo(
        data=data.info.spec,
        fingerprint=fingerprint(data.train),
        rows=done,
        classes=data.info.classes,
        kept=values.shape[1],
        resolution=resolution,
        temperature=distillation.temperature,
        teachers=distillation.teachers,
        content=content_hash(values, kept),
    )
    return SoftLabels(info=info, values=values, kept=kept), 100 * right / done
