"""How training images are resized and varied, a whole batch at a time, on any device.

What varies is drawn on the CPU (`draw_variation`), so the same generator gives the same images
whatever device computes them.

Shapes: B batch, C channels, H side of the stored images, R resolution.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, SCALE = 0.1, 0.1  # of the side, and about 1
GLYPH_ROTATION_DEGREES = 10.0
PHOTO_JITTER = 0.2  # of brightness and contrast, about 1


def square(images: Tensor) -> Tensor:
    """The middle square of images (B, C, height, width)."""
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


def draw_variation(count: int, flips: bool, generator: torch.Generator) -> Tensor:
    """What varies in each of `count` images: float32 (count, 6) or (count, 4).

    The columns are scale, shift to the side and shift down; then for images that may be mirrored
    a sign, negative to mirror, brightness and contrast, and for others an angle in radians.

    Args:
        count: Number of images.
        flips: Whether images may be mirrored.
        generator: Generator of the CPU.
    """

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    turn = GLYPH_ROTATION_DEGREES * (math.pi / 180)
    scale = draw(1 - SCALE, 1 + SCALE)
    turned = (draw(0, 1) < 0.5).float() * 2 - 1 if flips else draw(-turn, turn)
    # the coordinates of an image span -1..1, so a shift of s sides is 2 s
    columns = [scale, draw(-2 * SHIFT, 2 * SHIFT), draw(-2 * SHIFT, 2 * SHIFT), turned]
    if flips:
        columns += [draw(1 - PHOTO_JITTER, 1 + PHOTO_JITTER) for _ in range(2)]
    return torch.stack(columns, dim=1)


def varied(images: Tensor, resolution: int, variation: Tensor) -> Tensor:
    """Images (B, C, H, H) in 0..1 shifted, scaled and, if they may be, mirrored and relit; what
    may not be mirrored is turned a little instead. Brought to (B, C, R, R) in the same bicubic
    sampling.

    Args:
        images: Images, on any device.
        resolution: Side of the result.
        variation: What varies, from `draw_variation`, on the same device.
    """
    if images.shape[-1] > resolution:
        images = fitted(images, resolution)
    scale, dx, dy, turned, *light = variation.unbind(dim=1)
    angle, mirror = (torch.zeros_like(turned), turned) if light else (turned, 1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack([cos * mirror, -sin, dx, sin * mirror, cos, dy], dim=1).view(-1, 2, 3)
    shape = [len(images), images.shape[1], resolution, resolution]
    grid = F.affine_grid(theta, shape, align_corners=False)
    images = F.grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    if light:
        brightness, contrast = (factor.view(-1, 1, 1, 1) for factor in light)
        middle = images.mean(dim=(1, 2, 3), keepdim=True)
        images = ((images - middle) * contrast + middle) * brightness
    return images.clamp_(0, 1)
