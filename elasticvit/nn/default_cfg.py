"""What timm's data pipeline and weight loading read of a network: its `default_cfg`."""

from __future__ import annotations

from typing import Any

from elasticvit.arch import Arch
from elasticvit.kernels import Layout, lower

IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
IMAGENET_STD: tuple[float, ...] = (0.229, 0.224, 0.225)
LARGE_PIXELS = 128  # from this side on, the middle 90 % of an image is evaluated, as in training


def default_cfg(arch: Arch, layout: Layout) -> dict[str, Any]:
    """timm's `default_cfg` of an architecture.

    The normalisation is that of ImageNet; networks with another number of input channels than
    three get its average over the channels. `fixed_input_size` is true: the position biases are
    made for one resolution, and images of another size are resized to it.
    """
    channels, resolution = layout.in_channels, arch.resolution
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if channels != len(mean):
        mean, std = _average(mean, channels), _average(std, channels)
    return {
        "input_size": (channels, resolution, resolution),
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 0.9 if resolution >= LARGE_PIXELS else 1.0,
        "crop_mode": "center",
        "mean": mean,
        "std": std,
        "num_classes": layout.classes,
        "pool_size": None,
        "first_conv": "blocks.0.conv",
        "classifier": f"blocks.{len(lower(arch, layout)) - 1}.classifier",
        "license": "apache-2.0",
    }


def _average(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return (round(sum(values) / len(values), 6),) * channels
