"""The images that subnets are judged with: the same ones for every subnet of a resolution.

Batch norm statistics are computed on images of the training part, since those of the images that
a subnet is judged by would flatter it; accuracy on images of the search part.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Literal

import torch
from torch import Tensor

from elasticvit.training.data import ImageData

Batch = tuple[Tensor, Tensor]
Parts = tuple[list[Batch], list[Batch]]
KEEP_BYTES = 2**30


class JudgedImages:
    """Images for recalibration and for accuracy, kept for the resolutions that were used last.

    Args:
        data: The data set.
        recalibration_images: Number of images of the training part.
        search_images: Number of images of the part that is held out for choosing.
        batch_size: Images in a batch of either.
        seed: Random seed of the choice of images.
        torch_device: Torch device that they are put on.
        keep_bytes: Bytes of images of other resolutions that may be kept.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        recalibration_images: int,
        search_images: int,
        batch_size: int = 64,
        seed: int = 0,
        torch_device: torch.device | str = "cpu",
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.recalibration_images, self.search_images = recalibration_images, search_images
        self.torch_device, self.keep_bytes = torch.device(torch_device), keep_bytes
        self.kept: OrderedDict[int, Parts] = OrderedDict()
        self.lock = Lock()

    def at(self, resolution: int) -> Parts:
        """Batches for recalibration and for accuracy, images (B, 3, R, R) and labels (B,)."""
        with self.lock:  # threads wait for the one that reads
            if resolution not in self.kept:
                self.kept[resolution] = (
                    self._read("train", self.recalibration_images, resolution),
                    self._read("search", self.search_images, resolution),
                )
            self.kept.move_to_end(resolution)
            while len(self.kept) > 1 and sum(map(_bytes, self.kept.values())) > self.keep_bytes:
                self.kept.popitem(last=False)
            return self.kept[resolution]

    def _read(self, split: Literal["train", "search"], images: int, resolution: int) -> list[Batch]:
        loader = self.data.loader(
            split,
            resolution=resolution,
            batch_size=min(self.batch_size, images),
            shuffle=True,
            seed=self.seed,
        )
        batches: list[Batch] = []
        for x, y in loader:
            x, y = x[:images], y[:images]
            batches.append((x.to(self.torch_device), y.to(self.torch_device)))
            images -= len(x)
            if images <= 0:
                break
        return batches


def _bytes(parts: Parts) -> int:
    return sum(x.numel() * x.element_size() for part in parts for x, _ in part)
