"""Batches of images, the same for the same seed, epoch and batch number.

A set that is in memory is put on the computing device once, and resized, varied and normalised
there, a whole batch at a time. One that is not goes through timm's transforms in worker
processes (`decoded_batches`). Either way a batch depends on (seed, epoch, batch) alone, so
training can go on in the middle of an epoch, or with another number of processes, and read what
it would have read.

Shapes: B batch, R resolution.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from elasticvit.arrays import IndexArray
from elasticvit.training.augment import draw_variation, fitted, square, varied
from elasticvit.training.batch import Batch, to_device
from elasticvit.training.decoded_batches import DecodedBatches
from elasticvit.training.parts import DataPart


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
        device: torch.device,
        policy: str,
    ) -> None:
        if resolution < 1 or batch_size < 1:
            raise ValueError(
                f"resolution {resolution} and batch size {batch_size} must be positive"
            )
        self.part, self.flips, self.device = part, flips, device
        self.resolution, self.batch_size = resolution, batch_size
        self.augment, self.shuffle = augment, shuffle
        self.seed, self.drop_last, self.shard = seed, drop_last, shard
        self._mean = torch.tensor(mean, device=device).view(3, 1, 1)
        self._std = torch.tensor(std, device=device).view(3, 1, 1)
        self._labels = torch.from_numpy(part.labels).to(device)
        self._pixels: Tensor | None = None
        self._decoded: DecodedBatches | None = None
        if part.pixels is not None:
            pixels = square(torch.from_numpy(part.pixels).permute(0, 3, 1, 2))
            self._pixels = pixels.to(device)
        else:
            self._decoded = DecodedBatches(
                part,
                flips=flips,
                resolution=resolution,
                augment=augment,
                workers=workers,
                seed=seed,
                pinned=device.type == "cuda",
                policy=policy,
            )
        self.workers = 0 if self._decoded is None else workers

    def __len__(self) -> int:
        n = len(self.part)
        return max(1, n // self.batch_size) if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.epoch(0)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of `batches`."""
        for batch in self.batches(number, start):
            yield batch.images, batch.labels

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from the `start`-th on, on the loader's device.

        Order and augmentation differ from epoch to epoch, never between two readings of one.

        Raises:
            DataError: An image cannot be decoded.
        """
        order: IndexArray = np.arange(len(self.part))
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        batches = [
            order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(start, len(self))
        ]
        if self._decoded is None:
            return self._from_memory(epoch, start, batches)
        return self._from_files(self._decoded, epoch, batches)

    def _from_memory(self, epoch: int, start: int, batches: list[IndexArray]) -> Iterator[Batch]:
        assert self._pixels is not None
        rank, ranks = self.shard
        for i, whole in enumerate(batches, start):
            rows = to_device(torch.from_numpy(whole[rank::ranks]), self.device)
            images = self._pixels[rows].float() / 255
            if self.augment:
                # drawn for the whole batch, so that the number of ranks changes nothing
                seed = np.random.SeedSequence([self.seed, epoch, i, 0])
                generator = torch.Generator().manual_seed(int(seed.generate_state(1)[0]))
                variation = draw_variation(len(whole), self.flips, generator)[rank::ranks]
                variation = to_device(variation.contiguous(), self.device)
                images = varied(images, self.resolution, variation)
            else:
                images = fitted(images, self.resolution)
            yield Batch(images=self._normalised(images), labels=self._labels[rows], rows=rows)

    def _from_files(
        self, decoded: DecodedBatches, epoch: int, batches: list[IndexArray]
    ) -> Iterator[Batch]:
        rank, ranks = self.shard
        shares = [whole[rank::ranks] for whole in batches]
        for rows, (pixels, labels) in zip(shares, decoded.read(epoch, shares), strict=True):
            images = pixels.to(self.device, non_blocking=True).float() / 255
            yield Batch(
                images=self._normalised(images),
                labels=labels.to(self.device, non_blocking=True),
                rows=to_device(torch.from_numpy(rows), self.device),
            )

    def _normalised(self, images: Tensor) -> Tensor:
        return (images - self._mean) / self._std
