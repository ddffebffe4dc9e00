"""Accuracy of an architecture with the supernet's weights, batch norm recalibrated.

The running statistics of a supernet's batch norms are a mixture over all the architectures
that trained, and fit none of them: a subnet that is judged by them looks far worse than it is,
and not equally worse (Yu and Huang, "Universally Slimmable Networks", ICCV 2019, section 3.2;
Cai et al., "Once-for-All", ICLR 2020). So the statistics are computed anew for each subnet.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.errors import CheckpointError, DataError, NextStep
from elasticvit.nn.layers import ElasticBatchNorm
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.training.data import ImageData

Batch = tuple[Tensor, Tensor]
QUICK_GMACS = {"cpu": 4.0, "cuda": 400.0}  # for one architecture: about 0.2 s on two cores
ACCELERATOR_GMACS = 40.0  # on torch devices of other types, such as mps and xpu
THOROUGH_FACTOR = 8.0  # how much more the finalists of a search may take
CACHE_BYTES = 2**30


def quick_gmacs(torch_device: torch.device | str) -> float:
    """Billions of multiply-accumulates for one architecture during a search, by the type of the
    torch device (`cuda` of `cuda:0`)."""
    return QUICK_GMACS.get(torch.device(torch_device).type, ACCELERATOR_GMACS)


def recalibrate(subnet: Subnet, loader: Iterable[Batch], batches: int) -> Subnet:
    """Compute the batch norm statistics of a subnet anew, in place.

    The images must come from the training part: statistics are learned, so those of the images
    that the subnet is judged by would flatter it. The new statistics are the plain average over
    the batches, weighted by their sizes. Momentum, as in training, would forget the first
    batches and leave a share of the old statistics in: after ten batches of momentum 0.1, a
    third of them.

    Args:
        subnet: The subnet; everything but its batch norms stays in evaluation mode.
        loader: Batches (images (B, 3, H, W), labels (B,)), in an order mixed over the classes.
        batches: Most batches that are used.

    Returns:
        The same subnet, in evaluation mode.

    Raises:
        DataError: no batch, or one with so few images that it has no variance.
    """
    subnet.eval()
    norms = [m for m in subnet.modules() if isinstance(m, ElasticBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    device = next(subnet.parameters()).device
    images_seen = 0
    try:
        for norm in norms:
            norm.train()
        with torch.inference_mode():
            for images, _ in islice(loader, batches):
                if len(images) < 2:
                    if images_seen:
                        continue
                    raise DataError("recalibration on one image; it needs batches of 2 or more")
                images_seen += len(images)
                for norm in norms:  # the running average of batches weighted by their sizes
                    norm.momentum = len(images) / images_seen
                subnet(images.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
    if not images_seen:
        raise DataError("recalibration without images; the loader gave no batch")
    return subnet


def accuracy(model: nn.Module, loader: Iterable[Batch]) -> float:
    """Share of images whose label gets the highest logit, in percent.

    Raises:
        DataError: no images.
        CheckpointError: logits that are not numbers, which a diverged training leaves.
    """
    model.eval()
    device = next(model.parameters()).device
    right = total = 0
    with torch.inference_mode():
        for images, labels in loader:
            logits = model(images.to(device))
            if not torch.isfinite(logits).all():
                raise CheckpointError(
                    "the network's outputs are not finite numbers; its training diverged: train "
                    "again from the start",
                    next_step=NextStep("train", {"fresh": True}),
                )
            right += int((logits.argmax(dim=1) == labels.to(device)).sum())
            total += len(labels)
    if not total:
        raise DataError("accuracy of no images; the loader gave no batch")
    return 100.0 * right / total


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images an architecture is judged with.

    Attributes:
        recalibration_images: Number of images of the training part.
        search_images: Number of images of the part that is held out for choosing.
        batch_size: Images in a batch of either.
    """

    recalibration_images: int
    search_images: int
    batch_size: int = 64

    @property
    def images(self) -> int:
        """Images that are run for one architecture."""
        return self.recalibration_images + self.search_images

    @classmethod
    def within(cls, gmacs: float, macs_m: float, data: ImageData) -> Sizes:
        """As many images as a budget allows, a third of them for recalibration.

        It is a budget of arithmetic and not of time, so that the same search judges with the
        same images on every machine of a kind.

        Args:
            gmacs: Billions of multiply-accumulates for one architecture.
            macs_m: Millions of them that a typical architecture takes for an image.
            data: Data set whose sizes are the upper limits.
        """
        images = int(1000 * gmacs / macs_m)
        return cls(
            recalibration_images=min(max(images // 3, 64), 512, data.info.train_images),
            search_images=min(max(images - images // 3, 256), data.info.search_images),
        )


class SupernetEvaluator:
    """Accuracies of batches of architectures: cut, recalibrated, run on the search part.

    Which images are used is fixed by the seed, so an accuracy depends on the architecture alone.
    The images are kept, resized, for the resolutions that were used last.

    Args:
        supernet: Trained supernet; it is moved to the torch device.
        data: Data set that it was trained on.
        sizes: Numbers of images.
        seed: Random seed of the choice of images.
        torch_device: Torch device to run on, such as `cpu` or `cuda:0`.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        sizes: Sizes,
        *,
        seed: int = 0,
        torch_device: torch.device | str = "cpu",
    ) -> None:
        self.torch_device = torch.device(torch_device)
        self.supernet = supernet.eval().to(self.torch_device)
        self.data, self.sizes, self.seed = data, sizes, seed
        self._kept: OrderedDict[int, tuple[list[Batch], list[Batch]]] = OrderedDict()

    def __call__(self, batch: ArchBatch) -> FloatArray:
        """Accuracy on the search part in percent, shape (n,)."""
        scores = np.empty(len(batch))
        for row in np.argsort(batch.genes[:, 0], kind="stable"):  # images of a resolution once
            scores[row] = self.judge(batch[int(row)])[1]
        return scores

    def judge(self, arch: Arch) -> tuple[Subnet, float]:
        """The recalibrated subnet of an architecture, and its accuracy in percent."""
        training, search = self._images(arch.resolution)
        subnet = recalibrate(Subnet.cut(self.supernet, arch), training, len(training))
        return subnet, accuracy(subnet, search)

    def _images(self, resolution: int) -> tuple[list[Batch], list[Batch]]:
        if resolution in self._kept:
            self._kept.move_to_end(resolution)
            return self._kept[resolution]
        sizes = self.sizes
        parts = (
            self._read("train", sizes.recalibration_images, resolution),
            self._read("search", sizes.search_images, resolution),
        )
        self._kept[resolution] = parts
        while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > CACHE_BYTES:
            self._kept.popitem(last=False)
        return parts

    def _read(self, split: str, images: int, resolution: int) -> list[Batch]:
        loader = self.data.loader(
            "train" if split == "train" else "search",
            resolution=resolution,
            batch_size=min(self.sizes.batch_size, images),
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


def _bytes(parts: tuple[list[Batch], list[Batch]]) -> int:
    return sum(x.numel() * x.element_size() for part in parts for x, _ in part)


def weights_hash(supernet: Supernet) -> str:
    """Short text that differs when any weight or statistic differs."""
    digest = hashlib.sha256()
    for name, tensor in sorted(supernet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
