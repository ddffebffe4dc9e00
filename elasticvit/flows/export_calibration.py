"""The images from which an export knows the ranges of activations: training images, of a fixed
choice, and never those that the file is judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arrays import Float32Array

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData
    from export.calibration import Calibration

SEED = 0
BATCH = 64


def calibration_images(
    images: ImageData, resolution: int
) -> tuple[list[Float32Array], Calibration | None]:
    """Calibration images, and the account of them for the card; None if the data set has none.

    Args:
        images: The data set.
        resolution: Side of the model's images in pixels.

    Returns:
        Normalised images, each (1, resolution, resolution, channels): at most
        `export.calibration.IMAGES`, fewer if the training part is smaller.
    """
    from export.calibration import IMAGES, Calibration

    found: list[Float32Array] = []
    loader = images.loader(
        "train", resolution=resolution, batch_size=BATCH, shuffle=True, seed=SEED
    )
    for batch, _ in loader:
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())
        found += [image[None] for image in pixels[: IMAGES - len(found)]]
        if len(found) == IMAGES:
            break
    return found, Calibration(images=len(found), seed=SEED) if found else None
