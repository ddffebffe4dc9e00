"""What a kernel's latency depends on, as numbers.

Two views of a kernel. `work` counts what its operations do: multiply-accumulates by class of
operation, elements that pass through pointwise operations, bytes of weights and activations;
latency is close to a nonnegative combination of these. `coordinates` are its dimensions on a
log scale: what is left is smooth in them.

Matrix products are counted in the tiles that XNNPACK computes: columns come in groups of 16,
8 or 4, so 24 output channels can cost as much as 32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from elasticvit.kernels import (
    FFN,
    QK_DIM,
    SE_RATIO,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
)

FloatArray = npt.NDArray[np.float64]
BYTES = 4  # float32
TILE = 16  # output channels that a matrix product computes at a time

WORK_NAMES = (
    "calls",  # 1: what a kernel costs however small it is
    "product_macs",  # matrix products and 1x1 convolutions
    "tiled_macs",  # the same with output channels rounded up to the tile
    "direct_macs",  # the first convolution
    "depthwise3_macs",
    "depthwise5_macs",
    "batch_macs",  # products of activations with activations, in attention
    "softmax_elements",
    "pointwise_elements",  # activations, norms, sums, copies
    "vector_macs",  # matrix times one vector (SE, classifier): as fast as its weights arrive
    "weight_bytes",
    "activation_bytes",
)
_INDEX = {name: i for i, name in enumerate(WORK_NAMES)}


def _up(channels: int) -> int:
    return -(-channels // TILE) * TILE


class _Work:
    """Collects the work of one kernel's operations."""

    def __init__(self) -> None:
        self.row = np.zeros(len(WORK_NAMES))
        self.add(calls=1)

    def add(self, **counts: float) -> None:
        for name, count in counts.items():
            self.row[_INDEX[name]] += count

    def product(self, rows: int, cin: int, cout: int) -> None:
        self.add(
            product_macs=rows * cin * cout,
            tiled_macs=rows * cin * _up(cout),
            weight_bytes=BYTES * cin * cout,
            activation_bytes=BYTES * rows * (cin + cout),
        )

    def vector(self, cin: int, cout: int) -> None:
        self.add(vector_macs=cin * cout, weight_bytes=BYTES * cin * cout)

    def depthwise(self, in_area: int, area: int, channels: int, kernel: int) -> None:
        name = "depthwise5_macs" if kernel > 3 else "depthwise3_macs"
        self.add(**{name: area * channels * kernel**2})
        self.add(
            weight_bytes=BYTES * channels * kernel**2,
            activation_bytes=BYTES * channels * (in_area + area),
        )

    def pointwise(self, elements: int) -> None:
        self.add(pointwise_elements=elements, activation_bytes=2 * BYTES * elements)


def _mbconv(work: _Work, k: MBConv) -> None:
    in_area, area, inner = k.size**2, k.out_size**2, k.inner
    if k.expansion > 1:
        work.product(in_area, k.cin, inner)
        work.pointwise(in_area * inner)
    work.depthwise(in_area, area, inner, k.kernel)
    work.pointwise(area * inner)
    if k.se:
        work.vector(inner, inner // SE_RATIO)
        work.vector(inner // SE_RATIO, inner)
        work.pointwise(2 * area * inner)  # the mean, and the scaling
    work.product(area, inner, k.cout)
    if k.stride == 2:
        work.pointwise(in_area * k.cin)  # the shortcut's pooling
        work.product(area, k.cin, k.cout)
    if k.stride == 2 or k.cin == k.cout:
        work.pointwise(area * k.cout)


def work(kernel: Kernel) -> FloatArray:
    """Counts of a kernel's work, in the order of `WORK_NAMES`."""
    w = _Work()
    n = kernel.size**2
    if isinstance(kernel, FirstConv):
        area = kernel.out_size**2
        w.add(
            direct_macs=kernel.macs,
            weight_bytes=BYTES * 9 * kernel.cin * kernel.cout,
            activation_bytes=BYTES * (n * kernel.cin + area * kernel.cout),
        )
        w.pointwise(area * kernel.cout)
    elif isinstance(kernel, MBConv):
        _mbconv(w, kernel)
    elif isinstance(kernel, Downsample):
        _mbconv(w, kernel.as_mbconv)
    elif isinstance(kernel, Attention):
        value = kernel.heads * kernel.v_dim
        w.pointwise(3 * n * kernel.width)  # norm and shortcut
        w.product(n, kernel.width, 2 * kernel.heads * QK_DIM)
        w.product(n, kernel.width, value)
        w.depthwise(n, n, value, 3)
        w.add(
            batch_macs=kernel.heads * n * n * (QK_DIM + kernel.v_dim),
            softmax_elements=kernel.heads * n * n,
            weight_bytes=BYTES * kernel.heads * n * n,  # the position bias
            activation_bytes=2 * BYTES * kernel.heads * n * n,
        )
        w.pointwise(n * value)
        w.product(n, value, kernel.width)
    elif isinstance(kernel, FFN):
        w.pointwise(3 * n * kernel.width)
        w.product(n, kernel.width, kernel.inner)
        w.pointwise(n * kernel.inner)
        w.product(n, kernel.inner, kernel.width)
    elif isinstance(kernel, Head):
        w.product(n, kernel.width, kernel.inner)
        w.pointwise(2 * n * kernel.inner)
        w.vector(kernel.inner, kernel.hidden)
        w.vector(kernel.hidden, kernel.classes)
    else:
        raise TypeError(f"{type(kernel).__name__} is not a kernel kind")
    return w.row


def work_matrix(kernels: Sequence[Kernel]) -> FloatArray:
    """Work of many kernels, shape (n, len(WORK_NAMES))."""
    return np.array([work(k) for k in kernels]).reshape(len(kernels), len(WORK_NAMES))


def coordinates(kernels: Sequence[Kernel]) -> FloatArray:
    """Binary logarithms of one kind's dimensions, shape (n, dimensions).

    A dimension that may be zero (`se`) counts from one.
    """
    dims = np.array([list(k.dims.values()) for k in kernels], dtype=np.float64)
    zero_based = [name == "se" for name in kernels[0].dims]
    value: FloatArray = np.log2(dims + np.array(zero_based))
    return value
