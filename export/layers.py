"""Layers with weights as operators of a graph, of which kernels are made (`kernel_graphs`)."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from elasticvit.arrays import Float32Array
from export.graph import Graph, Shape


class Weights(Protocol):
    """Gives the weights of a block, by the name of the parameter in the fused block and the shape
    in which torch stores it."""

    def __call__(self, name: str, shape: Shape) -> Float32Array: ...


def by_head(graph: Graph, x: int, heads: int) -> int:
    """Tokens or a map (1, ..., heads * d) as (heads, n, d)."""
    *_, channels = shape = graph.shape(x)
    split = graph.reshape(x, (math.prod(shape) // channels, heads, channels // heads))
    return graph.transpose(split, (1, 0, 2))


def conv_filters(
    weights: Weights, name: str, cin: int, cout: int, side: int = 1, *, bias: bool = True
) -> tuple[Float32Array, Float32Array | None]:
    """Filters (out, k, k, in) of a convolution, which torch stores as (out, in, k, k), and bias."""
    weight = weights(f"{name}.weight", (cout, cin, side, side)).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(weight), weights(f"{name}.bias", (cout,)) if bias else None


def depthwise_filters(
    weights: Weights, name: str, channels: int, side: int, *, bias: bool = True
) -> tuple[Float32Array, Float32Array | None]:
    """Filters (1, k, k, channels) of a depthwise convolution, and bias."""
    weight = weights(f"{name}.weight", (channels, 1, side, side)).transpose(1, 2, 3, 0)
    return np.ascontiguousarray(weight), weights(f"{name}.bias", (channels,)) if bias else None


def conv(
    graph: Graph,
    x: int,
    weights: Weights,
    name: str,
    cin: int,
    cout: int,
    side: int = 1,
    *,
    stride: int = 1,
    bias: bool = True,
    activation: str | None = None,
) -> int:
    """A convolution of a map (1, h, w, cin) with the weights of a layer by its name."""
    filters = conv_filters(weights, name, cin, cout, side, bias=bias)
    return graph.conv(x, *filters, stride=stride, activation=activation)


def depthwise(
    graph: Graph,
    x: int,
    weights: Weights,
    name: str,
    channels: int,
    side: int,
    stride: int,
    *,
    bias: bool = True,
) -> int:
    """A depthwise convolution of a map (1, h, w, channels), padded to keep its size."""
    filters = depthwise_filters(weights, name, channels, side, bias=bias)
    return graph.depthwise(x, *filters, stride=stride)


def linear(
    graph: Graph, x: int, weights: Weights, name: str, cin: int, cout: int, *, flat: bool = False
) -> int:
    """A linear layer on tokens (1, n, cin) or rows (1, cin); see `Graph.linear` for `flat`."""
    weight, bias = weights(f"{name}.weight", (cout, cin)), weights(f"{name}.bias", (cout,))
    return graph.linear(x, weight, bias, flat=flat)
