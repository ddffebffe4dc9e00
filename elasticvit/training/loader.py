"""Batches of images, the same for the same seed, epoch and batch number.

A set that is in memory is resized, varied and normalised a whole batch at a time, in one
sampling of the pixels. One that is not goes through timm's transforms in a torch DataLoader.
Either way a batch depends on (seed, epoch, batch) alone, so training can go on in the middle
of an epoch and read what it would have read.

Shapes: B batch, R resolution, H and W sides of the stored images.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from elasticvit.errors import DataError
from elasticvit.training.parts import DataPart

Batch = tuple[Tensor, Tensor]
SHIFT, SCALE = 0.1, 0.1  # of the side, and about 1
GLYPH_ROTATION_DEGREES = 10.0
PHOTO_JITTER = 0.2  # of brightness and contrast, about 1
RAND_AUGMENT = "rand-m5-n1-mstd0.5-inc1"  # light, as the method's recipe asks for
CROP_SCALE = (0.35, 1.0)  # of the area, for photographs that are decoded one at a time
LARGE_PIXELS = 128  # from this side on, the middle 90 % is looked at, as is usual


class Loader:
    """Iterable over batches of a part of a data set (see `ImageData.loader`)."""

    def __init__(
        self,
        part: DataPart,
        *,
        flips: bool,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        resolution: int,
        batch_size: int,
        augment: bool,
        shuffle: bool,
        workers: int,
        seed: int,
        drop_last: bool,
        shard: tuple[int, int],
    ) -> None:
        if resolution < 1 or batch_size < 1:
            raise ValueError(
                f"resolution {resolution} and batch size {batch_size} must be positive"
            )
        self.part, self.flips, self.mean, self.std = part, flips, mean, std
        self.resolution, self.batch_size = resolution, batch_size
        self.augment, self.shuffle, self.workers = augment, shuffle, workers
        self.seed, self.drop_last, self.shard = seed, drop_last, shard
        self._mean = torch.tensor(mean).view(3, 1, 1)
        self._std = torch.tensor(std).view(3, 1, 1)
        self._labels = torch.from_numpy(self.part.labels)
        self._pixels: Tensor | None = None
        if self.part.pixels is not None:
            self._pixels = _square(torch.from_numpy(self.part.pixels).permute(0, 3, 1, 2))

    def __len__(self) -> int:
        n = len(self.part)
        return max(1, n // self.batch_size) if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the `start`-th on.

        Order and augmentation differ from epoch to epoch, never between two readings of one.
        """
        order: npt.NDArray[np.int64] = np.arange(len(self.part))
        if self.shuffle:
            order = np.random.default_rng([self.seed, number]).permutation(order)
        rank, ranks = self.shard
        batches = [
            order[i * self.batch_size : (i + 1) * self.batch_size][rank::ranks]
            for i in range(start, len(self))
        ]
        if self._pixels is None:
            return self._decoded(number, batches)
        return self._from_memory(number, start, batches)

    def _from_memory(
        self, epoch: int, start: int, batches: list[npt.NDArray[np.int64]]
    ) -> Iterator[Batch]:
        assert self._pixels is not None
        for i, rows in enumerate(batches, start):
            index = torch.from_numpy(rows)
            images = self._pixels[index].float() / 255
            if self.augment:
                seed = np.random.SeedSequence([self.seed, epoch, i, self.shard[0]])
                generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
                images = varied(images, self.resolution, self.flips, generator)
            else:
                images = fitted(images, self.resolution)
            yield (images - self._mean) / self._std, self._labels[index]

    def _decoded(self, epoch: int, batches: list[npt.NDArray[np.int64]]) -> Iterator[Batch]:
        images = _Images(self, epoch)
        loader: DataLoader[tuple[Tensor, int]] = DataLoader(
            images,
            batch_sampler=[b.tolist() for b in batches],
            num_workers=self.workers,
            generator=torch.Generator().manual_seed(self.seed),
        )
        try:
            yield from loader
        except DataError:
            self.part.unreadable.check()  # in words of its own, not those of another process
            raise


class _Images(Dataset[tuple[Tensor, int]]):
    """A part whose images are decoded and transformed one at a time."""

    def __init__(self, loader: Loader, epoch: int) -> None:
        from timm.data import create_transform

        self.part = loader.part
        self.seed = (loader.seed, epoch) if loader.augment else None
        self.transform = create_transform(
            input_size=loader.resolution,
            is_training=loader.augment,
            scale=CROP_SCALE,
            hflip=0.5 if loader.flips else 0.0,
            color_jitter=PHOTO_JITTER,
            auto_augment=RAND_AUGMENT if loader.flips else None,
            interpolation="bicubic",
            crop_pct=0.9 if loader.resolution >= LARGE_PIXELS else 1.0,
            mean=loader.mean,
            std=loader.std,
        )

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.part.image(index)
        label = int(self.part.labels[index])
        if self.seed is None:
            return self.transform(image), label
        # timm draws from the global generators: seed them for this image, then put them back,
        # so that neither the number of workers nor a resumed run changes what is drawn
        state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        drawn = int(np.random.SeedSequence([*self.seed, index]).generate_state(1)[0])
        with torch.random.fork_rng(devices=[]):
            random.seed(drawn)
            np.random.seed(drawn)  # noqa: NPY002
            torch.manual_seed(drawn)
            try:
                return self.transform(image), label
            finally:
                random.setstate(state)
                np.random.set_state(numpy_state)  # noqa: NPY002


def _square(images: Tensor) -> Tensor:
    """The middle square of images (B, C, H, W)."""
    h, w = images.shape[-2:]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return images[..., top : top + side, left : left + side].contiguous()


def fitted(images: Tensor, resolution: int) -> Tensor:
    """Square images (B, C, H, H) in 0..1 bicubically brought to (B, C, R, R)."""
    if images.shape[-1] == resolution:
        return images
    shrinks = images.shape[-1] > resolution
    resized = F.interpolate(
        images, size=(resolution, resolution), mode="bicubic", antialias=shrinks
    )
    return resized.clamp_(0, 1)


def varied(images: Tensor, resolution: int, flips: bool, generator: torch.Generator) -> Tensor:
    """Images (B, C, H, H) in 0..1 shifted, scaled and, if they may be, mirrored and relit;
    what may not be mirrored is turned a little instead. Brought to (B, C, R, R) in the same
    bicubic sampling.
    """
    n = len(images)

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    if images.shape[-1] > resolution:
        images = fitted(images, resolution)
    scale, mirror = draw(1 - SCALE, 1 + SCALE), torch.ones(n)
    angle = torch.zeros(n)
    if flips:
        mirror = (draw(0, 1) < 0.5).float() * 2 - 1
    else:
        angle = draw(-GLYPH_ROTATION_DEGREES, GLYPH_ROTATION_DEGREES) * (math.pi / 180)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # affine_grid spans -1..1, so a shift of s sides is 2 s
    dx, dy = draw(-2 * SHIFT, 2 * SHIFT), draw(-2 * SHIFT, 2 * SHIFT)
    theta = torch.stack([cos * mirror, -sin, dx, sin * mirror, cos, dy], dim=1).view(n, 2, 3)
    grid = F.affine_grid(theta, [n, images.shape[1], resolution, resolution], align_corners=False)
    images = F.grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    if flips:
        light = draw(1 - PHOTO_JITTER, 1 + PHOTO_JITTER)
        contrast = draw(1 - PHOTO_JITTER, 1 + PHOTO_JITTER)
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - middle) * contrast.view(n, 1, 1, 1) + middle
        images = images * light.view(n, 1, 1, 1)
    return images.clamp_(0, 1)
