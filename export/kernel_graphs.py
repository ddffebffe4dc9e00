"""The graph of each kind of kernel: the operators that litert-torch writes for its fused block, in
its order and with its options. Norms are per token unless the authors' joint form is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from elasticvit.arrays import Float32Array
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
from elasticvit.strips import strips
from export.graph import Graph, Shape
from export.layers import Weights, by_head, conv, conv_filters, depthwise, depthwise_filters, linear
from export.norms import Norm, per_token


def _first_conv(graph: Graph, x: int, kernel: FirstConv, weights: Weights) -> int:
    return graph.hard_swish(conv(graph, x, weights, "conv", kernel.cin, kernel.cout, 3, stride=2))


def _mbconv(graph: Graph, x: int, kernel: MBConv, weights: Weights) -> int:
    write = _whole if len(strips(kernel)) == 1 else _strips
    y = write(graph, x, kernel, weights)
    if kernel.stride == 2:
        x = graph.average_pool(x)
    if kernel.cin != kernel.cout:
        x = conv(graph, x, weights, "shortcut", kernel.cin, kernel.cout, bias=False)
    return graph.add(y, x)


def _whole(graph: Graph, y: int, kernel: MBConv, weights: Weights) -> int:
    """An MBConv but for its residual."""
    inner = kernel.inner
    if kernel.expansion > 1:
        y = graph.hard_swish(conv(graph, y, weights, "expand", kernel.cin, inner))
    y = graph.hard_swish(
        depthwise(graph, y, weights, "depthwise", inner, kernel.kernel, kernel.stride)
    )
    if kernel.se:
        squeezed = inner // SE_RATIO
        gate = graph.mean(y, (2, 1), keep=True)
        gate = conv(graph, gate, weights, "squeeze", inner, squeezed, activation="relu")
        gate = conv(graph, gate, weights, "excite", squeezed, inner, activation="relu6")
        y = graph.multiply(y, gate)
    return conv(graph, y, weights, "project", inner, kernel.cout)


def _strips(graph: Graph, x: int, kernel: MBConv, weights: Weights) -> int:
    """An MBConv but for its residual, in strips of rows; they share their weights."""
    inner, side = kernel.inner, kernel.kernel
    expand = conv_filters(weights, "expand", kernel.cin, inner)
    middle = depthwise_filters(weights, "depthwise", inner, side)
    project = conv_filters(weights, "project", inner, kernel.cout)
    parts = []
    for strip in strips(kernel):
        y = graph.rows(x, strip.first, strip.rows)
        y = graph.hard_swish(graph.conv(y, *expand))
        rows = strip.above, strip.below
        y = graph.hard_swish(graph.depthwise(y, *middle, stride=kernel.stride, rows=rows))
        parts.append(graph.conv(y, *project))
    return graph.concatenate(parts, 1)


def _downsample(graph: Graph, x: int, kernel: Downsample, weights: Weights) -> int:
    if len(graph.shape(x)) == 3:
        x = graph.reshape(x, (1, kernel.size, kernel.size, kernel.cin))

    def inside(name: str, shape: Shape) -> Float32Array:
        return weights(f"block.{name}", shape)

    y = _mbconv(graph, x, kernel.as_mbconv, inside)
    return graph.reshape(y, (1, kernel.out_size**2, kernel.cout))


def _attention(
    graph: Graph, x: int, kernel: Attention, weights: Weights, norm: Norm = per_token
) -> int:
    size, heads, width = kernel.size, kernel.heads, kernel.width
    n, v_width = size * size, heads * kernel.v_dim
    normed = norm(graph, x)
    q = linear(graph, normed, weights, "query", width, heads * QK_DIM)
    q = by_head(graph, q, heads)
    k = linear(graph, normed, weights, "key", width, heads * QK_DIM)
    k = graph.reshape(k, (n, heads, QK_DIM))
    v = linear(graph, normed, weights, "value", width, v_width)
    v = graph.reshape(v, (1, size, size, v_width))
    v = depthwise(graph, v, weights, "value_conv", v_width, 3, 1, bias=False)
    v = by_head(graph, v, heads)
    scores = graph.matmul(q, graph.transpose(k, (1, 2, 0)))
    bias = graph.constant(weights("position_bias", (heads, n, n)))
    y = graph.matmul(graph.softmax(graph.add(scores, bias)), v)
    y = graph.reshape(graph.transpose(y, (1, 0, 2)), (1, n, v_width))
    y = graph.hard_swish(y)
    return graph.add(x, linear(graph, y, weights, "project", v_width, width, flat=True))


def _ffn(graph: Graph, x: int, kernel: FFN, weights: Weights, norm: Norm = per_token) -> int:
    y = linear(graph, norm(graph, x), weights, "fc1", kernel.width, kernel.inner)
    y = graph.hard_swish(y)
    return graph.add(x, linear(graph, y, weights, "fc2", kernel.inner, kernel.width, flat=True))


def _head(graph: Graph, x: int, kernel: Head, weights: Weights) -> int:
    x = graph.hard_swish(linear(graph, x, weights, "expand", kernel.width, kernel.inner))
    x = graph.mean(x, (1,), keep=False)
    x = graph.hard_swish(linear(graph, x, weights, "hidden", kernel.inner, kernel.hidden))
    return linear(graph, x, weights, "classifier", kernel.hidden, kernel.classes)


WRITERS: Mapping[type[Kernel], Callable[..., int]] = {
    FirstConv: _first_conv,
    MBConv: _mbconv,
    Downsample: _downsample,
    Attention: _attention,
    FFN: _ffn,
    Head: _head,
}
