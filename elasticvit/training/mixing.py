"""Images of a batch blended, pasted into one another or erased in part, by timm.

timm draws from the global generators of Python, numpy and torch: they are seeded for the call and
put back, so that what is drawn depends on the seed alone.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor

ERASED_WITH = "pixel"  # normal noise a pixel, as DeiT's recipe, which later ones follow, has it


def blended(
    images: Tensor, *, mixup: float, cutmix: float, seed: Sequence[int]
) -> tuple[Tensor, float]:
    """A batch with each image blended with another one of it (mixup, ICLR 2018), or with a
    rectangle of another one pasted in (cutmix, ICCV 2019); with both, either with equal chance.

    The other image of the i-th from the start is the i-th from the end.

    Args:
        images: Images (B, C, H, W); they stay as they are.
        mixup: Alpha of mixup; 0 turns it off.
        cutmix: Alpha of cutmix; 0 turns it off. One of the two must be on.
        seed: What the draw depends on.

    Returns:
        The images, and the share of each that is its own.
    """
    half = len(images) // 2
    paired = torch.cat([images[:half], images[len(images) - half :]])  # a middle one has no other
    mix = Mixup(
        mixup_alpha=mixup, cutmix_alpha=cutmix, label_smoothing=0.0, num_classes=len(paired)
    )
    with drawn_from(seed, images.device):
        mixed, shares = mix(paired, torch.arange(len(paired), device=images.device))
    result = torch.cat([mixed[:half], images[half : len(images) - half], mixed[half:]])
    return result.contiguous(memory_format=torch.channels_last), float(shares[0, 0])


def blended_labels(labels: Tensor, share: float) -> Tensor:
    """Label distributions (B, K) of images that were blended.

    Args:
        labels: Label distributions of the images themselves (B, K).
        share: Share of each image that is its own.
    """
    return share * labels + (1 - share) * labels.flip(0)


def erased(images: Tensor, probability: float, seed: Sequence[int]) -> Tensor:
    """A batch with a rectangle of some images replaced by noise (random erasing, AAAI 2020).

    Args:
        images: Normalised images (B, C, H, W); they stay as they are.
        probability: Probability that an image loses a rectangle.
        seed: What the draw depends on.
    """
    with drawn_from(seed, images.device):
        result: Tensor = RandomErasing(
            probability=probability, mode=ERASED_WITH, device=str(images.device)
        )(images.clone())
    return result


@contextmanager
def drawn_from(seed: Sequence[int], device: torch.device) -> Iterator[None]:
    """The global generators seeded while the context lasts, and as before afterwards.

    Args:
        seed: Whole numbers that all draws depend on.
        device: Device whose generator torch draws from, besides the CPU's.
    """
    drawn = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        random.seed(drawn)
        np.random.seed(drawn)  # noqa: NPY002
        torch.manual_seed(drawn)
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(numpy_state)  # noqa: NPY002
