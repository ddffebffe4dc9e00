"""Random images in the form of a data set, for comparing outputs where there are no real ones.

They belong to no class, so that nothing but outputs can be compared on them: accuracies on them
mean nothing.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from elasticvit.training.data import DataInfo, ImageData
from elasticvit.training.parts import DataPart
from elasticvit.training.pool import Pool

NAME = "random images"
COUNT = 64
SIDE = 64  # pixels; readers resize to what a network takes
GRIDS = (2, 4, 8, 16, 32)  # random colours on a side, from broad patches to fine ones


def random_images(
    classes: tuple[str, ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    *,
    count: int = COUNT,
    seed: int = 0,
) -> ImageData:
    """A data set of random images: patches of random colours, smoothed, with some noise.

    Args:
        classes: Names of the classes that the network tells apart; the images have none of them.
        mean, std: Mean and standard deviation of each channel that images are normalised by, for
            pixels in 0..1.
        count: Number of images; all parts have the same.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    pixels = [_image(rng, GRIDS[i % len(GRIDS)]) for i in range(count)]
    pool = Pool(
        np.zeros(count, np.int64),
        lambda i: Image.fromarray(pixels[i]),
        lambda i: f"random image {i}",
    )
    part = DataPart(pool, np.arange(count))
    info = DataInfo(
        spec=NAME,
        name=NAME,
        classes=len(classes),
        train_images=count,
        search_images=count,
        test_images=count,
    )
    return ImageData(
        info=info,
        class_names=classes,
        flips=False,
        train=part,
        search=part,
        test=part,
        given_normalisation=(mean, std),
    )


def _image(rng: np.random.Generator, grid: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    patches = Image.fromarray(rng.integers(0, 256, (grid, grid, 3), dtype=np.uint8))
    smooth = np.asarray(patches.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
    noisy = smooth + rng.normal(0, 8, smooth.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
