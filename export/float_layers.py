"""Layers whose weights stay float32 in `int8` files, which bring activations to 8 bits as they run.

The quantiser (`export.precision`), the kernel models' writer (`export.written_precision`) and what
reads a file back (`export.precision_check`) all follow this.

- Depthwise convolutions: the delegate has none with 8-bit weights and float32 activations, and
  would leave each to the slower reference kernels.
- Convolutions of images, which have so few channels that 8 bits gain nothing in the products, and
  so many pixels that bringing these to 8 bits takes longer than the convolution itself
  (`benchmarks/first_convolution.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

IMAGE_CHANNELS = 4  # most channels of an image


def stays_float(name: str, weights: Sequence[int]) -> bool:
    """Whether a layer stays float32.

    Args:
        name: Name of the operator, such as `CONV_2D`.
        weights: Shape of its weights; of a convolution (out, k, k, in).
    """
    if name == "DEPTHWISE_CONV_2D":
        return True
    return name == "CONV_2D" and max(weights[1:3]) > 1 and weights[3] <= IMAGE_CHANNELS
