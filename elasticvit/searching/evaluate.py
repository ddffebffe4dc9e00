"""Accuracy of an architecture with the supernet's weights, batch norm recalibrated."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch

from elasticvit.arch import Arch, ArchBatch
from elasticvit.nn.judging import accuracy, correct, recalibrate
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.judge import BoolArray, Judged
from elasticvit.searching.judgement_store import Judgements, JudgementStore
from elasticvit.training.data import ImageData
from elasticvit.training.judged_images import JudgedImages

__all__ = ["Sizes", "SupernetEvaluator", "accuracy", "quick_gmacs", "recalibrate", "weights_hash"]

QUICK_GMACS = {"cpu": 4.0, "cuda": 400.0}  # for one architecture: about 0.2 s on two cores
ACCELERATOR_GMACS = 40.0  # on torch devices of other types, such as mps and xpu
THOROUGH_FACTOR = 8.0  # how much more the finalists of a search may take
CACHE_BYTES = 2**30
KEPT_SUBNETS = 16  # recalibrated ones that are kept for more images


def quick_gmacs(torch_device: torch.device | str) -> float:
    """Billions of multiply-accumulates for one architecture during a search, by the type of the
    torch device (`cuda` of `cuda:0`)."""
    return QUICK_GMACS.get(torch.device(torch_device).type, ACCELERATOR_GMACS)


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
    """Judges architectures (`searching.judge.Judge`): cut, recalibrated, run on the search part.

    Which images are used is fixed by the seed, so an accuracy depends on the architecture alone.
    The images are kept, resized, for the resolutions that were used last.

    Args:
        supernet: Trained supernet; it is moved to the torch device.
        data: Data set that it was trained on.
        sizes: Numbers of images.
        seed: Random seed of the choice of images.
        torch_device: Torch device to run on, such as `cpu` or `cuda:0`.
        store: Keeps what was judged, for other searches with the same weights.
    """

    name = "accuracy with the supernet's weights"

    def __init__(
        self,
        supernet: Supernet,
        data: ImageData,
        sizes: Sizes,
        *,
        seed: int = 0,
        torch_device: torch.device | str = "cpu",
        store: JudgementStore | None = None,
    ) -> None:
        self.torch_device = torch.device(torch_device)
        self.supernet = supernet.eval().to(self.torch_device)
        self.data, self.sizes, self.seed = data, sizes, seed
        self.images = JudgedImages(
            data,
            recalibration_images=sizes.recalibration_images,
            search_images=sizes.search_images,
            batch_size=sizes.batch_size,
            seed=seed,
            torch_device=self.torch_device,
            keep_bytes=CACHE_BYTES,
        )
        self.kept: OrderedDict[Arch, Subnet] = OrderedDict()  # recalibrated, the latest last
        self.known: Judgements | None = None
        if store is not None:
            context = [weights_hash(supernet), data.info.spec, seed, sizes.recalibration_images]
            self.known = store.of(json.dumps([*context, sizes.batch_size]))

    @property
    def most_images(self) -> int:
        """Most images that it judges with."""
        return self.sizes.search_images

    def __call__(self, archs: ArchBatch, images: int | None = None) -> Judged:
        """Judge architectures on the first images of the search part, all by default."""
        images = min(self.most_images if images is None else images, self.most_images)
        right = np.zeros((len(archs), images), dtype=bool)
        for row in np.argsort(archs.genes[:, 0], kind="stable"):  # images of a resolution once
            right[row] = self._correct(archs[int(row)], images)
        return Judged.of(right)

    def run(self, arch: Arch) -> None:
        """Judge an architecture without looking up or keeping anything, for the time it takes."""
        training, search = self.images.at(arch.resolution)
        subnet = recalibrate(Subnet.cut(self.supernet, arch), training, len(training))
        correct(subnet, search)

    def subnet(self, arch: Arch) -> Subnet:
        """The recalibrated subnet of an architecture."""
        if arch not in self.kept:
            training = self.images.at(arch.resolution)[0]
            cut = Subnet.cut(self.supernet, arch)
            self.kept[arch] = recalibrate(cut, training, len(training))
            while len(self.kept) > KEPT_SUBNETS:
                self.kept.popitem(last=False)
        self.kept.move_to_end(arch)
        return self.kept[arch]

    def _correct(self, arch: Arch, images: int) -> BoolArray:
        """What an architecture classifies right; whole batches are run, and only those that were
        not judged before."""
        found = np.zeros(0, dtype=bool) if self.known is None else self.known.get(arch)
        size = self.sizes.batch_size
        if len(found) < images:
            search = self.images.at(arch.resolution)[1]
            done = len(found) // size
            batches = search[done : -(-images // size)]
            new = correct(self.subnet(arch), batches).numpy()
            found = np.concatenate([found[: done * size], new])
            if self.known is not None:
                self.known.add(arch, found)
        return found[:images]


def weights_hash(supernet: Supernet) -> str:
    """Short text that differs when any weight or statistic differs."""
    digest = hashlib.sha256()
    for name, tensor in sorted(supernet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
