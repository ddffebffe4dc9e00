"""Subnets to export for benchmarks of exported files, with images to compare and calibrate by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import Float32Array
from elasticvit.flows.export_calibration import calibration_images
from elasticvit.nn import Subnet
from elasticvit.nn.judging import recalibrate
from elasticvit.nn.shipped import card_space, load_card, read_supernet
from elasticvit.published import published
from elasticvit.space import MOBILE
from elasticvit.testing.export_format import randomised
from elasticvit.training.data import open_data
from export.calibration import IMAGES

PUBLISHED = ("T1", "S1", "M", "L3")
RANDOM_SUBNETS, TRAINED_SUBNETS = 3, 3
SHIPPED = "tiny-cifar10"
RECALIBRATION_BATCHES = 30


@dataclass(frozen=True)
class Case:
    """A subnet with images to calibrate by, images to compare on, and their classes, if any."""

    name: str
    subnet: Subnet
    calibration: list[Float32Array]
    images: Float32Array
    labels: npt.NDArray[Any] | None


def random_weights(count: int, only: tuple[str, ...]) -> Iterator[Case]:
    """Published and random architectures of the `mobile` space, with random weights and noise."""
    rng = np.random.default_rng(0)
    archs = {name: published(name) for name in PUBLISHED}
    for number, arch in enumerate(MOBILE.sample(RANDOM_SUBNETS, rng), 1):
        archs[f"mobile random {number}"] = arch
    for name, arch in archs.items():
        if not name.startswith(only):
            continue
        side, seed = arch.resolution, np.random.default_rng(1)
        noise = seed.standard_normal((IMAGES + count, 1, side, side, 3), dtype=np.float32)
        subnet = randomised(Subnet(arch, MOBILE.layout))
        assert isinstance(subnet, Subnet)
        yield Case(name, subnet, list(noise[:IMAGES]), noise[IMAGES:], None)


def trained(data: str, count: int, only: tuple[str, ...]) -> Iterator[Case]:
    """Random subnets of the shipped supernet, with CIFAR-10's images."""
    images, card = open_data(data), load_card(SHIPPED)
    space, supernet = card_space(card, SHIPPED), read_supernet(SHIPPED)
    for number, arch in enumerate(space.sample(TRAINED_SUBNETS, np.random.default_rng(0)), 1):
        name, size = f"{SHIPPED} random {number}", arch.resolution
        if not name.startswith(only):
            continue
        loader = images.loader("train", resolution=size, batch_size=64, shuffle=True, seed=1)
        subnet = recalibrate(Subnet.cut(supernet, arch).eval(), loader, RECALIBRATION_BATCHES)
        chosen, _ = calibration_images(images, size)
        test = images.loader("test", resolution=size, batch_size=count, shuffle=True)
        batch, labels = next(iter(test))
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).numpy())[:, None]
        yield Case(name, subnet, chosen, pixels, labels.numpy())
