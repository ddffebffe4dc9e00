"""Batches of images that are decoded one at a time, by worker processes or in this process.

What is drawn for an image depends on (seed, epoch, image) alone, so the number of worker
processes changes nothing but the pace.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError
from elasticvit.training.parts import DataPart
from elasticvit.training.processes import processes_here

PHOTO_JITTER = 0.2  # of brightness and contrast, about 1
CROP_SCALE = (0.35, 1.0)  # of the area
LARGE_PIXELS = 128  # from this side on, the middle 90 % is looked at, as is usual
MOST_WORKERS = 8  # a process
Key = tuple[int, int]  # epoch and index of an image
Decoded = tuple[Tensor, Tensor] | DataError


def default_workers() -> int:
    """Worker processes that an expert would choose: one core is left to the training process, the
    others are shared out among the processes that torchrun started here."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(0, min(cores // processes_here() - 1, MOST_WORKERS))


def seen_share(resolution: int) -> float:
    """Share of the shorter side of a picture that is looked at where images are not varied."""
    return 0.9 if resolution >= LARGE_PIXELS else 1.0


class DecodedBatches:
    """Decodes batches of a part whose images are not in memory.

    The worker processes start with the first epoch and stay for the following ones.

    Args:
        part: The images.
        flips: Whether images may be mirrored.
        resolution: Side of the images.
        augment: Whether images are varied.
        workers: Number of worker processes; with 0 this process decodes.
        seed: Random seed of what is drawn.
        pinned: Whether batches are put where a GPU copies them from without waiting.
        policy: How augmented images are distorted, as timm's `auto_augment`.
    """

    def __init__(
        self,
        part: DataPart,
        *,
        flips: bool,
        resolution: int,
        augment: bool,
        workers: int,
        seed: int,
        pinned: bool,
        policy: str,
    ) -> None:
        self._part, self._sampler = part, _Batches()
        self._loader: DataLoader[Any] = DataLoader(
            _Images(part, flips, resolution, augment, seed, policy),
            batch_sampler=self._sampler,
            num_workers=workers,
            collate_fn=_collated,
            pin_memory=pinned,
            generator=torch.Generator().manual_seed(seed),
            persistent_workers=workers > 0,
            worker_init_fn=_begin,
        )

    def read(self, epoch: int, batches: Sequence[IndexArray]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch with the images at these indices: pixels uint8 (B, 3, R, R) and
        labels int64 (B,).

        Raises:
            DataError: An image cannot be decoded, or a worker process ended.
        """
        keys = [[(epoch, int(index)) for index in indices] for indices in batches]
        self._sampler.keys = keys
        decoded = iter(self._loader)
        while True:
            assert self._sampler.keys is keys, "an epoch was read on after another one was begun"
            try:
                with lost_workers():
                    batch = next(decoded)
            except StopIteration:
                return
            except (OSError, EOFError) as error:  # while a batch was taken over from a worker
                if self._loader.num_workers == 0:
                    raise
                raise _lost(error) from error
            if isinstance(batch, DataError):
                self._part.unreadable.check()  # in its words, where too many cannot be read
                raise batch
            yield batch


@contextmanager
def lost_workers() -> Iterator[None]:
    """The context of whatever is done while worker processes decode.

    Torch raises in the midst of it when a worker process is lost.

    Raises:
        DataError: A worker process ended, as it does when memory is short.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise _lost(error) from error


def _lost(error: Exception) -> DataError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return DataError(
        "a process that decodes images ended unexpectedly, as it does when memory is short "
        f"({reason}); choose fewer workers",
        settings=["workers"],
    )


class _Batches:
    """The batches to decode, which differ from epoch to epoch."""

    def __init__(self) -> None:
        self.keys: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


class _Images(Dataset[Any]):
    """A part whose images are decoded and transformed one at a time."""

    def __init__(
        self,
        part: DataPart,
        flips: bool,
        resolution: int,
        augment: bool,
        seed: int,
        policy: str,
    ) -> None:
        from timm.data import create_transform

        self.part, self.augment, self.seed = part, augment, seed
        self.labels = part.labels
        self.transform = create_transform(
            input_size=resolution,
            is_training=augment,
            scale=CROP_SCALE,
            hflip=0.5 if flips else 0.0,
            color_jitter=PHOTO_JITTER,
            auto_augment=policy if flips else None,
            interpolation="bicubic",
            crop_pct=seen_share(resolution),
            normalize=False,
        )

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, key: Key) -> tuple[Tensor, int] | DataError:
        epoch, index = key
        try:
            image = self.part.image(index)
        except DataError as error:  # torch would wrap it into a text with a trace
            return error
        label = int(self.labels[index])
        if not self.augment:
            return self.transform(image), label
        # timm draws from the global generators: seed them for this image, then put them back,
        # so that neither the number of workers nor a resumed run changes what is drawn
        state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        drawn = int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0])
        with torch.random.fork_rng(devices=[]):
            random.seed(drawn)
            np.random.seed(drawn)  # noqa: NPY002
            torch.manual_seed(drawn)
            try:
                return self.transform(image), label
            finally:
                random.setstate(state)
                np.random.set_state(numpy_state)  # noqa: NPY002


def _collated(images: list[tuple[Tensor, int] | DataError]) -> Decoded:
    """Images and labels stacked, or the first failure among them."""
    pixels, labels = [], []
    for image in images:
        if isinstance(image, DataError):
            return image
        pixels.append(image[0])
        labels.append(image[1])
    return torch.stack(pixels), torch.tensor(labels)


def _begin(worker: int) -> None:
    """Begin a worker process: Ctrl-C is the business of the training process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
