"""Accuracy of an architecture with the supernet's weights, batch norm recalibrated."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from threading import Event, Lock
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from elasticvit.arch import Arch, ArchBatch
from elasticvit.nn.judging import Batch, accuracy, correct, percent, recalibrate
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.judge import BoolArray, Judged
from elasticvit.searching.judgement_store import Judgements, JudgementStore
from elasticvit.searching.judging_sizes import (
    ACCELERATOR_GMACS,
    QUICK_GMACS,
    THOROUGH_FACTOR,
    Sizes,
    quick_gmacs,
)
from elasticvit.training.data import ImageData
from elasticvit.training.judged_images import JudgedImages

__all__ = [
    "ACCELERATOR_GMACS",
    "QUICK_GMACS",
    "THOROUGH_FACTOR",
    "Sizes",
    "Spread",
    "Stretch",
    "SupernetEvaluator",
    "accuracy",
    "quick_gmacs",
    "recalibrate",
    "weights_hash",
]

CACHE_BYTES = 2**30
KEPT_SUBNETS = 16  # recalibrated ones that are kept for more images
STORE_EVERY_S = 1.0  # what is judged is stored this often


@dataclass(frozen=True)
class Stretch:
    """Images of the search part that an architecture is to be run on.

    Attributes:
        arch: The architecture.
        first: Number of the first image, a multiple of the batch size.
        images: Number of the image behind the last one.
    """

    arch: Arch
    first: int
    images: int


class Spread(Protocol):
    """Runs several architectures at the same time, in threads (`searching.workers`) or processes
    (`searching.spread`)."""

    @property
    def parallel(self) -> int:
        """Number of architectures that run at the same time."""

    @property
    def batches(self) -> int:
        """Number of batches of one architecture that `correct` runs at the same time."""

    def __call__(
        self, evaluator: SupernetEvaluator, stretches: Sequence[Stretch]
    ) -> Iterator[tuple[Stretch, BoolArray]]:
        """What `evaluator.extend` gives of each stretch, in any order."""

    def correct(self, subnet: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """What `nn.judging.correct` gives."""

    def at_once(self, run: Callable[[], object]) -> None:
        """Call a function as often, at the same time, as this process runs architectures."""


class SupernetEvaluator:
    """Judges architectures (`searching.judge.Judge`): cut, recalibrated, run on the search part.

    Which images are used is fixed by the seed, so an accuracy depends on the architecture alone.
    What is stored holds for every torch device: they round differently, which changes far fewer
    images than chance does.
    The images are kept, resized, for the resolutions that were used last.

    Args:
        supernet: Trained supernet; it is moved to the torch device.
        data: Data set that it was trained on.
        sizes: Numbers of images.
        seed: Random seed of the choice of images.
        torch_device: Torch device to run on, such as `cpu` or `cuda:0`.
        store: Keeps what was judged, for other searches with the same weights.
        spread: Runs several architectures at the same time; by default they run one after the
            other.
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
        spread: Spread | None = None,
    ) -> None:
        self.spread = spread
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
        self.lock = Lock()  # of what is kept
        self.broken_off = Event()  # ends what threads run at the next batch
        self.known: Judgements | None = None
        if store is not None:
            facts = data.info
            context = [weights_hash(supernet), facts.spec, facts.train_images, facts.search_images]
            chosen = [seed, sizes.recalibration_images, sizes.batch_size]
            asked: list[Any] = []
            if data.given_normalisation is not None:
                asked.append(data.given_normalisation)
            if data.turned:  # what earlier versions judged was not
                asked.append("upright")
            self.known = store.of(json.dumps([*context, *chosen, *asked]))

    @property
    def most_images(self) -> int:
        """Most images that it judges with."""
        return self.sizes.search_images

    def __call__(self, archs: ArchBatch, images: int | None = None) -> Judged:
        """Judge architectures on the first images of the search part, all by default."""
        images = min(self.most_images if images is None else images, self.most_images)
        found = self._found(archs, images)
        return Judged.of(np.stack([found[arch][:images] for arch in archs]))

    def run(self, arch: Arch) -> None:
        """Judge an architecture without looking up or keeping anything, for the time it takes."""
        training, search = self.images.at(arch.resolution)
        subnet = recalibrate(Subnet.cut(self.supernet, arch), training, len(training))
        correct(subnet, search)

    def subnet(self, arch: Arch) -> Subnet:
        """The recalibrated subnet of an architecture."""
        with self.lock:
            found = self.kept.get(arch)
        if found is None:
            training = self.images.at(arch.resolution)[0]
            found = recalibrate(Subnet.cut(self.supernet, arch), training, len(training))
        with self.lock:
            self.kept[arch] = found
            self.kept.move_to_end(arch)
            while len(self.kept) > KEPT_SUBNETS:
                self.kept.popitem(last=False)
        return found

    def accuracy(self, subnet: Subnet, loader: Iterable[Batch]) -> float:
        """Share of images that a subnet classifies right, in percent; raises as
        `nn.judging.accuracy` does."""
        return percent((self.spread.correct if self.spread else correct)(subnet, loader))

    def extend(self, stretch: Stretch) -> BoolArray:
        """Which images of a stretch an architecture classifies right, shape (images,), fewer where
        it is broken off; whole batches are run."""
        size = self.sizes.batch_size
        search = self.images.at(stretch.arch.resolution)[1]
        batches = search[stretch.first // size : -(-stretch.images // size)]
        going_on = takewhile(lambda _: not self.broken_off.is_set(), batches)
        return correct(self.subnet(stretch.arch), going_on).numpy()

    def _found(self, archs: Iterable[Arch], images: int) -> dict[Arch, BoolArray]:
        """Which of the first images each architecture classifies right: of those that were not
        judged on as many before, the images that are missing are run. What is new is stored, also
        where the work is broken off."""
        distinct = list(dict.fromkeys(archs))
        empty = [np.zeros(0, dtype=bool) for _ in distinct]
        known = empty if self.known is None else self.known.get(distinct)
        found = dict(zip(distinct, known, strict=True))
        size, new = self.sizes.batch_size, list[Arch]()
        stretches = [
            Stretch(arch, len(bits) // size * size, images)
            for arch, bits in found.items()
            if len(bits) < images
        ]
        stored_s = time.monotonic()
        try:
            for stretch, bits in self._run(stretches):
                old = found[stretch.arch]
                found[stretch.arch] = np.concatenate([old, bits[len(old) - stretch.first :]])
                new.append(stretch.arch)
                if time.monotonic() - stored_s > STORE_EVERY_S:
                    self._store(found, new)
                    stored_s, new = time.monotonic(), []
        finally:
            self._store(found, new)
        return found

    def _run(self, stretches: Sequence[Stretch]) -> Iterator[tuple[Stretch, BoolArray]]:
        if self.spread is not None:
            yield from self.spread(self, stretches)
            return
        for stretch in sorted(stretches, key=lambda stretch: stretch.arch.resolution):
            yield stretch, self.extend(stretch)  # images of a resolution once

    def _store(self, found: dict[Arch, BoolArray], archs: Sequence[Arch]) -> None:
        if self.known is not None and archs:
            self.known.add(archs, [found[arch] for arch in archs])


def weights_hash(supernet: Supernet) -> str:
    """Short text that differs when any weight or statistic differs."""
    digest = hashlib.sha256()
    for name, tensor in sorted(supernet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
