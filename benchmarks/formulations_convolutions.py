"""Formulations of the MBConv and of downsampling: other operators for the same outputs."""

from __future__ import annotations

import math

import numpy as np
from formulations_graph import WideGraph

from elasticvit.arrays import Float32Array
from elasticvit.kernels import SE_RATIO, Downsample, MBConv
from export.graph import Shape
from export.layers import Weights


def convolution(
    weights: Weights, name: str, cin: int, cout: int, side: int = 1
) -> tuple[Float32Array, Float32Array]:
    """Filters (cout, side, side, cin) and bias (cout,) of a convolution."""
    filters = weights(f"{name}.weight", (cout, cin, side, side)).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(filters), weights(f"{name}.bias", (cout,))


def mbconv(
    g: WideGraph,
    x: int,
    kernel: MBConv,
    weights: Weights,
    *,
    strips: int = 1,
    groups: int = 1,
    swish: str = "operator",
    pool: str = "mean",
    shortcut: str = "pool",
) -> int:
    """MBConv with options.

    `strips`: the map is computed in strips of rows, so that what lies between expansion and
    projection is smaller; `groups`: in groups of inner channels, whose projections are added.
    `swish`: `product`: x * relu6(x + 3) / 6 by operators. `pool`: `average` for the gate's mean as
    a pool of the whole map. `shortcut`: `conv`: pool and 1x1 convolution as one 2x2 convolution.
    """

    def hard_swish(y: int) -> int:
        if swish == "operator":
            return g.hard_swish(y)
        shifted = g.relu6(g.add(y, g.constant(np.array(3, np.float32))))
        return g.multiply(g.multiply(y, shifted), g.constant(np.array(1 / 6, np.float32)))

    inner, side, stride = kernel.inner, kernel.kernel, kernel.stride
    expand = convolution(weights, "expand", kernel.cin, inner) if kernel.expansion > 1 else None
    filters = weights("depthwise.weight", (inner, 1, side, side)).transpose(1, 2, 3, 0)
    depthwise_bias = weights("depthwise.bias", (inner,))
    project = convolution(weights, "project", inner, kernel.cout)

    def piece(first: int, last: int, part: slice) -> int:
        """Projection of the output rows `first` to `last` from some inner channels."""
        top, bottom = first * stride - side // 2, (last - 1) * stride - side // 2 + side
        begin, end = max(top, 0), min(bottom, kernel.size)
        y = x if end - begin == kernel.size else g.rows(x, begin, end - begin)
        if expand is not None:
            y = hard_swish(g.conv(y, np.ascontiguousarray(expand[0][part]), expand[1][part]))
        weight, rows = np.ascontiguousarray(filters[..., part]), (begin - top, bottom - end)
        y = g.depthwise(y, weight, depthwise_bias[part], stride=stride, rows=rows)
        y = hard_swish(y)
        return y if kernel.se else projected(y, part)

    def projected(y: int, part: slice) -> int:
        weight = np.ascontiguousarray(project[0][..., part])
        return g.conv(y, weight, project[1] if part.start == 0 else None)

    def gated(y: int) -> int:
        squeezed = inner // SE_RATIO
        gate = g.mean(y, (2, 1), keep=True) if pool == "mean" else g.average_of_map(y)
        squeeze = convolution(weights, "squeeze", inner, squeezed)
        excite = convolution(weights, "excite", squeezed, inner)
        gate = g.conv(gate, *squeeze, activation="relu")
        return g.multiply(y, g.conv(gate, *excite, activation="relu6"))

    step = math.ceil(kernel.out_size / strips)
    parts = []
    for first in range(0, kernel.out_size, step):
        last = min(first + step, kernel.out_size)
        width = math.ceil(inner / groups)
        sums = [piece(first, last, slice(c, min(c + width, inner))) for c in range(0, inner, width)]
        total = sums[0]
        for other in sums[1:]:
            total = g.add(total, other)
        parts.append(total)
    y, residual = g.concatenation(parts, 1), x
    if kernel.se:
        y = projected(gated(y), slice(0, inner))
    if kernel.cin != kernel.cout:
        w = np.ascontiguousarray(
            weights("shortcut.weight", (kernel.cout, kernel.cin, 1, 1)).transpose(0, 2, 3, 1)
        )
        if stride == 2 and shortcut == "conv":
            return g.add(y, g.pooled_strides(x, w))
        residual = g.conv(g.average_pool(x) if stride == 2 else x, w, None)
    elif stride == 2:
        residual = g.average_pool(x)
    return g.add(y, residual)


def downsample(g: WideGraph, x: int, kernel: Downsample, weights: Weights, **options: str) -> int:
    """Downsampling with the options of `mbconv`."""

    def inside(name: str, shape: Shape) -> Float32Array:
        return weights(f"block.{name}", shape)

    y = mbconv(g, x, kernel.as_mbconv, inside, **options)  # type: ignore[arg-type]
    return g.reshape(y, (1, kernel.out_size**2, kernel.cout))
