"""What a kernel's latency depends on, as numbers.

Two views of a kernel. `work` counts what its operations do: multiply-accumulates by class of
operation, elements that pass through pointwise operations, bytes of weights and activations;
latency is close to a nonnegative combination of these. `coordinates` are its dimensions on a
log scale: what is left is smooth in them. `operations` are what the work is summed over: kinds
of kernels that look nothing alike are made of the same few operations.

Matrix products are counted in the tiles that XNNPACK computes: columns come in groups of 16,
8 or 4, so 24 output channels can cost as much as 32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arrays import FloatArray
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

BYTES = 4  # float32
TILE = 16  # output channels that a matrix product computes at a time
STRIDED = "_strided"  # ends the kind of a strided depthwise convolution

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


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of a kernel.

    Attributes:
        kind: `call` (what every kernel has), `direct`, `product`, `vector`, `depthwise3`,
            `depthwise5`, these two `_strided` (they read four values for each that they write),
            `pointwise` or `batch`.
        dims: Sizes that its speed depends on: rows, input and output channels of a `product`;
            input and output channels of a `vector`; input area, output area and channels of a
            depthwise convolution; elements of `pointwise`; tokens, heads and a head's value of
            `batch`; map side and channels of `direct`.
        work: Its counts, in the order of `WORK_NAMES`, shape (len(WORK_NAMES),).
    """

    kind: str
    dims: tuple[int, ...]
    work: FloatArray


class _Work:
    """Collects the operations of one kernel."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.add("call", (), calls=1)

    def add(self, kind: str, dims: tuple[int, ...], **counts: float) -> None:
        row = np.zeros(len(WORK_NAMES))
        for name, count in counts.items():
            row[_INDEX[name]] = count
        self.operations.append(Operation(kind, dims, row))

    def product(self, rows: int, cin: int, cout: int) -> None:
        self.add(
            "product",
            (rows, cin, cout),
            product_macs=rows * cin * cout,
            tiled_macs=rows * cin * _up(cout),
            weight_bytes=BYTES * cin * cout,
            activation_bytes=BYTES * rows * (cin + cout),
        )

    def vector(self, cin: int, cout: int) -> None:
        self.add("vector", (cin, cout), vector_macs=cin * cout, weight_bytes=BYTES * cin * cout)

    def depthwise(self, in_area: int, area: int, channels: int, kernel: int) -> None:
        name = "depthwise5" if kernel > 3 else "depthwise3"
        counts = {
            f"{name}_macs": area * channels * kernel**2,
            "weight_bytes": BYTES * channels * kernel**2,
            "activation_bytes": BYTES * channels * (in_area + area),
        }
        kind = name + STRIDED if in_area > area else name
        self.add(kind, (in_area, area, channels), **counts)

    def pointwise(self, elements: int) -> None:
        self.add(
            "pointwise",
            (elements,),
            pointwise_elements=elements,
            activation_bytes=2 * BYTES * elements,
        )


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


def operations(kernel: Kernel) -> list[Operation]:
    """A kernel's operations, input to output, after the `call` itself."""
    w = _Work()
    n = kernel.size**2
    if isinstance(kernel, FirstConv):
        area = kernel.out_size**2
        w.add(
            "direct",
            (kernel.size, kernel.cout),
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
            "batch",
            (n, kernel.heads, kernel.v_dim),
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
    return w.operations


def work(kernel: Kernel) -> FloatArray:
    """Counts of a kernel's work, in the order of `WORK_NAMES`, shape (len(WORK_NAMES),)."""
    value: FloatArray = np.sum([o.work for o in operations(kernel)], axis=0)
    return value


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
