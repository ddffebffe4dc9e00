"""Which MBConvs are exported in strips of rows.

Between expansion and projection the map of an MBConv is several times as large as its input. A
runtime that computes operator by operator writes it to memory and reads it again three times; in
strips it stays in a core's cache (`benchmarks/formulations.py`), in every precision. The exported
graphs (`export.kernel_graphs`), the fused modules (`elasticvit.nn.fuse`) and the memory that they
need (`elasticvit.kernel_tensors`) all follow these strips.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from elasticvit.kernels import MBConv

FLOAT_BYTES = 4
LARGE_MAP = 1 << 20  # bytes; smaller ones lose more by copying rows than they gain
STRIP = 1 << 19  # bytes of a strip between expansion and projection, more if MOST_STRIPS are
MOST_STRIPS = 4  # inputs of a concatenation that XNNPACK has always taken


@dataclass(frozen=True)
class Strip:
    """Rows of an MBConv that are computed together.

    Attributes:
        first, rows: first row of the input map that is read, and their number.
        above, below: rows of zeros around them for the depthwise convolution.
        out_rows: number of rows of the output map.
    """

    first: int
    rows: int
    above: int
    below: int
    out_rows: int


@lru_cache(maxsize=4096)
def strips(kernel: MBConv) -> tuple[Strip, ...]:
    """The strips of an MBConv, top to bottom; a single one is the whole map."""
    floats, count = kernel.size**2 * kernel.inner, 1
    large = FLOAT_BYTES * floats > LARGE_MAP
    if large and kernel.expansion > 1 and not kernel.se:  # squeeze and excitation needs all rows
        count = min(-(-FLOAT_BYTES * floats // STRIP), MOST_STRIPS)
    margin, step = kernel.kernel // 2, -(-kernel.out_size // count)
    found = []
    for out in range(0, kernel.out_size, step):
        last = min(out + step, kernel.out_size)
        top = out * kernel.stride - margin
        bottom = (last - 1) * kernel.stride - margin + kernel.kernel
        first, end = max(top, 0), min(bottom, kernel.size)
        found.append(Strip(first, end - first, first - top, bottom - end, last - out))
    return tuple(found)


def same_padding(size: int, side: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind `size` pixels that TFLite's padding `same` stands for.

    Args:
        size, side: Pixels of the map and of the filter.
        stride: Stride in pixels.
    """
    total = max((-(-size // stride) - 1) * stride + side - size, 0)
    return total // 2, total - total // 2
