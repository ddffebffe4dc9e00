"""Data sets in three parts: trained on, held out to choose by, held out for the final figure.

The parts depend on the data set alone and not on a run's seed, so that a search never scores
an architecture on an image that its weights were trained on. Where a set comes without a test
part, one is cut from it. This module does not load torch; batches come from `loader`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from elasticvit.arrays import IndexArray
from elasticvit.training.held_out import hold_out
from elasticvit.training.parts import DataPart
from elasticvit.training.sources import find_source

if TYPE_CHECKING:
    import torch

    from elasticvit.training.loader import Loader

PartName = Literal["train", "search", "test"]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of each channel

TEST_SHARE = 0.20  # of a set without a test part
SEARCH_SHARE = 0.15  # of the images that remain
RAND_AUGMENT = "rand-m5-n1-mstd0.5-inc1"  # light, as the method's recipe asks for
SEARCH_LIMIT = 10_000  # images; more do not make the choice better, only slower
PHOTO_MEAN = (0.485, 0.456, 0.406)  # ImageNet's, for sets that are too large to measure
PHOTO_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """What is known of a data set without decoding it.

    Attributes:
        spec: Canonical form of what the user wrote; `open_data` takes it from any folder.
        name: Name of the data set in reports.
        classes: Number of classes.
        train_images: Number of images that are trained on.
        search_images: Number of images that are held out to choose architectures by.
        test_images: Number of images that are held out for the final figure.
    """

    spec: str
    name: str
    classes: int
    train_images: int
    search_images: int
    test_images: int


@dataclass(frozen=True, eq=False)
class ImageData:
    """An opened data set.

    Attributes:
        info: Name, number of classes and sizes of the parts.
        class_names: Names of the classes, by label.
        flips: Whether training may mirror images.
        train: Images that are trained on.
        search: Images that are held out to choose architectures by.
        test: Images that are held out for the final figure.
        given_normalisation: Mean and standard deviation of each channel that a trained network
            asks for; None for those of this data set.
    """

    info: DataInfo
    class_names: tuple[str, ...]
    flips: bool
    train: DataPart
    search: DataPart
    test: DataPart
    given_normalisation: Normalisation | None = None

    @cached_property
    def normalisation(self) -> Normalisation:
        """Mean and standard deviation of each channel for pixels in 0..1: those given, those of
        the training part if it is in memory, or ImageNet's."""
        if self.given_normalisation is not None:
            return self.given_normalisation
        pixels = self.train.pixels
        if pixels is None:
            return PHOTO_MEAN, PHOTO_STD
        levels = np.arange(256) / 255
        means, stds = [], []
        for channel in range(3):
            counts = np.bincount(pixels[..., channel].reshape(-1), minlength=256)
            mean = float((counts * levels).sum() / counts.sum())
            variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
            means.append(round(mean, 6))
            stds.append(round(max(variance**0.5, 1e-3), 6))
        return tuple(means), tuple(stds)

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel for pixels in 0..1."""
        return self.normalisation[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel for pixels in 0..1."""
        return self.normalisation[1]

    @property
    def turned(self) -> bool:
        """Whether images that are trained on or searched by may be turned (`DataPart.turned`)."""
        return self.train.turned or self.search.turned

    def part(self, name: PartName) -> DataPart:
        """A part by its name."""
        return {"train": self.train, "search": self.search, "test": self.test}[name]

    def loader(
        self,
        part: PartName,
        *,
        resolution: int,
        batch_size: int,
        augment: bool = False,
        shuffle: bool = False,
        workers: int = 0,
        seed: int = 0,
        drop_last: bool = False,
        shard: tuple[int, int] = (0, 1),
        device: torch.device | None = None,
        policy: str = RAND_AUGMENT,
    ) -> Loader:
        """Batches of a part: images float32 (B, 3, resolution, resolution), normalised, and
        labels int64 (B,); see `Loader.batches` for those of training.

        Args:
            part: Which images: `train`, `search` or `test`.
            resolution: Side of the images in pixels, to which they are resized bicubically.
            batch_size: Images in a batch, over all ranks.
            augment: Whether images are augmented, as in training.
            shuffle: Whether every epoch has another order (see `Loader.epoch`).
            workers: Number of decoding processes, for data sets that are not in memory.
            seed: Random seed of order and augmentation; the same seed gives the same batches.
            drop_last: Whether a last batch that is not full is left out.
            shard: Rank and number of ranks; each rank reads every n-th image of a batch.
            device: Torch device that the batches are made on; by default the CPU. A part that is
                in memory is moved there once.
            policy: How augmented images are distorted that are decoded one at a time.
        """
        import torch

        from elasticvit.training.loader import Loader

        return Loader(
            self.part(part),
            flips=self.flips,
            mean=self.mean,
            std=self.std,
            resolution=resolution,
            batch_size=batch_size,
            augment=augment,
            shuffle=shuffle,
            workers=workers,
            seed=seed,
            drop_last=drop_last,
            shard=shard,
            device=device or torch.device("cpu"),
            policy=policy,
        )


def describe(spec: str) -> DataInfo:
    """Classes and sizes of a data set, without decoding images.

    Args:
        spec: `digits`, a folder or file, or `timm:NAME:FOLDER`.

    Raises:
        DataError: The data set is unknown, unreadable or too small; the accepted forms are
            listed.
    """
    return open_data(spec).info


def open_data(spec: str, seed: int = 0) -> ImageData:
    """Open a data set; images are decoded when first used.

    Args:
        spec: `digits`, a folder or file, or `timm:NAME:FOLDER`.
        seed: Random seed of the choice of held-out images. It must be the same wherever the same
            weights are used, since otherwise images that were trained on are judged by.

    Raises:
        DataError: The data set is unknown, unreadable or too small; the accepted forms are
            listed.
    """
    source = find_source(spec)
    rows: IndexArray = np.arange(len(source.train.labels))
    if source.test is None:
        rows, test_rows = hold_out(source, rows, TEST_SHARE, seed)
        test = DataPart(source.train, test_rows)
    else:
        test = DataPart(source.test, np.arange(len(source.test.labels)))
    share = min(SEARCH_SHARE, SEARCH_LIMIT / len(rows))
    train_rows, search_rows = hold_out(source, rows, share, seed + 1)
    info = DataInfo(
        spec=source.spec,
        name=source.name,
        classes=len(source.classes),
        train_images=len(train_rows),
        search_images=len(search_rows),
        test_images=len(test),
    )
    return ImageData(
        info,
        source.classes,
        source.flips,
        train=DataPart(source.train, train_rows),
        search=DataPart(source.train, search_rows),
        test=test,
    )
