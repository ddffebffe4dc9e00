"""Formulations of attention, FFN and head: other operators for the same outputs."""

from __future__ import annotations

import math

import numpy as np
from formulations_graph import WideGraph

from elasticvit.arrays import Float32Array
from elasticvit.kernels import FFN, QK_DIM, Attention, Head
from export.layers import Weights
from export.norms import NORM_EPS

Linear = tuple[Float32Array, Float32Array]


def linear(weights: Weights, name: str, cin: int, cout: int) -> Linear:
    """Weight (cout, cin) and bias (cout,) of a linear layer."""
    return weights(f"{name}.weight", (cout, cin)), weights(f"{name}.bias", (cout,))


def deviation(g: WideGraph, x: int) -> int:
    """One over the standard deviation of each token (1, n, 1)."""
    variance = g.mean(g.squared_difference(x, g.mean(x, (2,), keep=True)), (2,), keep=True)
    return g.rsqrt(g.add(variance, g.constant(np.array(NORM_EPS, np.float32))))


def normed(g: WideGraph, x: int, form: str, layers: list[Linear]) -> tuple[int, list[Linear]]:
    """Tokens normalised, and the linear layers behind them.

    Args:
        g: The graph.
        x: Tokens (1, n, C).
        form: `kept`: the variance of centred tokens with its axis kept; `squared`: by squared
            differences; `folded`: the tokens are scaled only, and the linear layers take the mean
            away.
        layers: The linear layers behind the norm.
    """
    if form == "folded":
        layers = [
            (w - w.mean(1, keepdims=True, dtype=np.float64).astype(np.float32), b)
            for w, b in layers
        ]
        return g.multiply(x, deviation(g, x)), layers
    if form == "squared":
        mean = g.mean(x, (2,), keep=True)
        variance = g.mean(g.squared_difference(x, mean), (2,), keep=True)
        centred = g.subtract(x, mean)
    else:
        centred = g.subtract(x, g.mean(x, (2,), keep=True))
        variance = g.mean(g.multiply(centred, centred), (2,), keep=True)
    variance = g.add(variance, g.constant(np.array(NORM_EPS, np.float32)))
    return g.multiply(centred, g.rsqrt(variance)), layers


def ffn(
    g: WideGraph, x: int, kernel: FFN, weights: Weights, *, norm: str, conv: bool = False
) -> int:
    y, [(w1, b1)] = normed(g, x, norm, [linear(weights, "fc1", kernel.width, kernel.inner)])
    w2, b2 = linear(weights, "fc2", kernel.inner, kernel.width)
    if not conv:
        return g.add(x, g.linear(g.hard_swish(g.linear(y, w1, b1)), w2, b2))
    y = g.reshape(y, (1, kernel.size, kernel.size, kernel.width))
    y = g.conv(g.hard_swish(g.conv(y, w1[:, None, None], b1)), w2[:, None, None], b2)
    return g.add(x, g.reshape(y, g.shape(x)))


def ffn_parts(
    g: WideGraph, x: int, kernel: FFN, weights: Weights, *, parts: int, norm: str = "kept"
) -> int:
    """FFN in groups of inner channels, whose projections are added."""
    y, [(w1, b1)] = normed(g, x, norm, [linear(weights, "fc1", kernel.width, kernel.inner)])
    w2, b2 = linear(weights, "fc2", kernel.inner, kernel.width)
    total = x
    for part in groups_of(kernel.inner, parts):
        inner = g.hard_swish(g.linear(y, w1[part].copy(), b1[part]))
        total = g.add(total, g.linear(inner, w2[:, part].copy(), b2 if part.start == 0 else None))
    return total


def ffn_columns(g: WideGraph, x: int, kernel: FFN, weights: Weights) -> int:
    """FFN of tokens in columns: the weights are the left side of each product."""
    y, [(w1, b1)] = normed(g, x, "kept", [linear(weights, "fc1", kernel.width, kernel.inner)])
    w2, b2 = linear(weights, "fc2", kernel.inner, kernel.width)
    y = g.transpose(y, (0, 2, 1))
    y = g.hard_swish(g.add(g.matmul(g.constant(w1[None]), y), g.constant(b1[None, :, None])))
    y = g.add(g.matmul(g.constant(w2[None]), y), g.constant(b2[None, :, None]))
    return g.add(x, g.transpose(y, (0, 2, 1)))


def attention(
    g: WideGraph,
    x: int,
    kernel: Attention,
    weights: Weights,
    *,
    norm: str = "kept",
    keys: str = "transposed",
    heads_apart: bool = False,
    one_matrix: bool = False,
) -> int:
    """Attention with options.

    `keys`: `transposed` before the product, as today; `adjoint`: the product transposes them;
    `product`: a product of the weights and the tokens writes them transposed (their bias is the
    same for all keys of a query, so softmax does not see it). `heads_apart`: each head by itself.
    `one_matrix`: query, key and value by one linear layer, then slices.
    """
    n, heads, width = kernel.size**2, kernel.heads, kernel.width
    v_width = heads * kernel.v_dim
    widths = [heads * QK_DIM, heads * QK_DIM, v_width]
    layers = [
        linear(weights, name, width, w)
        for name, w in zip(("query", "key", "value"), widths, strict=True)
    ]
    y, layers = normed(g, x, norm, layers)
    if one_matrix:
        joined = g.linear(y, *(np.concatenate(parts) for parts in zip(*layers, strict=True)))
        starts = (0, widths[0], 2 * widths[0])
        q, k, v = (
            g.slice(joined, (0, 0, s), (1, n, w)) for s, w in zip(starts, widths, strict=True)
        )
    elif keys == "product":
        q, v = g.linear(y, *layers[0]), g.linear(y, *layers[2])
        k = g.matmul(g.constant(layers[1][0].reshape(heads, QK_DIM, width)), y, transpose_b=True)
        k = k if g.shape(k) == (heads, QK_DIM, n) else g.reshape(k, (heads, QK_DIM, n))
    else:
        q, k, v = (g.linear(y, *layer) for layer in layers)
    v = g.reshape(v, (1, kernel.size, kernel.size, v_width))
    w = weights("value_conv.weight", (v_width, 1, 3, 3)).transpose(1, 2, 3, 0)
    v = g.depthwise(v, np.ascontiguousarray(w), None)
    bias = weights("position_bias", (heads, n, n))
    if heads_apart:
        y = _heads_apart(g, kernel, q, k, v, bias)
    else:
        q, v = (
            g.transpose(g.reshape(t, (n, heads, d)), (1, 0, 2))
            for t, d in ((q, QK_DIM), (v, kernel.v_dim))
        )
        if keys != "product":
            order = (1, 0, 2) if keys == "adjoint" else (1, 2, 0)
            k = g.transpose(g.reshape(k, (n, heads, QK_DIM)), order)
        scores = g.matmul(q, k, transpose_b=keys == "adjoint")
        y = g.matmul(g.softmax(g.add(scores, g.constant(bias))), v)
        y = g.reshape(g.transpose(y, (1, 0, 2)), (1, n, v_width))
    return g.add(x, g.linear(g.hard_swish(y), *linear(weights, "project", v_width, width)))


def _heads_apart(
    g: WideGraph, kernel: Attention, q: int, k: int, v: int, bias: Float32Array
) -> int:
    n, parts = kernel.size**2, []
    v = g.reshape(v, (1, n, kernel.heads * kernel.v_dim))
    for h in range(kernel.heads):
        q1, k1 = (g.slice(t, (0, 0, h * QK_DIM), (1, n, QK_DIM)) for t in (q, k))
        v1 = g.slice(v, (0, 0, h * kernel.v_dim), (1, n, kernel.v_dim))
        scores = g.add(g.matmul(q1, k1, transpose_b=True), g.constant(bias[h : h + 1]))
        parts.append(g.matmul(g.softmax(scores), v1))
    return g.concatenation(parts, 2)


def attention_groups(
    g: WideGraph, x: int, kernel: Attention, weights: Weights, *, groups: int
) -> int:
    """Attention in groups of heads, whose projections are added."""
    n, heads, width, v_dim = kernel.size**2, kernel.heads, kernel.width, kernel.v_dim
    names = {"query": QK_DIM, "key": QK_DIM, "value": v_dim}
    layers = [linear(weights, name, width, heads * d) for name, d in names.items()]
    y, layers = normed(g, x, "kept", layers)
    filters = weights("value_conv.weight", (heads * v_dim, 1, 3, 3)).transpose(1, 2, 3, 0)
    bias = weights("position_bias", (heads, n, n))
    project, shift = linear(weights, "project", heads * v_dim, width)
    step, total = math.ceil(heads / groups), x
    for h in range(0, heads, step):
        count = min(step, heads - h)
        q, k, v = (
            g.linear(y, w[h * d : (h + count) * d].copy(), b[h * d : (h + count) * d])
            for (w, b), d in zip(layers, names.values(), strict=True)
        )
        part = slice(h * v_dim, (h + count) * v_dim)
        v = g.reshape(v, (1, kernel.size, kernel.size, count * v_dim))
        v = g.depthwise(v, np.ascontiguousarray(filters[..., part]), None)
        q, v = (
            g.transpose(g.reshape(t, (n, count, d)), (1, 0, 2))
            for t, d in ((q, QK_DIM), (v, v_dim))
        )
        k = g.transpose(g.reshape(k, (n, count, QK_DIM)), (1, 2, 0))
        scores = g.add(g.matmul(q, k), g.constant(bias[h : h + count].copy()))
        out = g.transpose(g.matmul(g.softmax(scores), v), (1, 0, 2))
        out = g.hard_swish(g.reshape(out, (1, n, count * v_dim)))
        total = g.add(total, g.linear(out, project[:, part].copy(), None if h else shift))
    return total


def head(
    g: WideGraph, x: int, kernel: Head, weights: Weights, *, parts: int = 1, conv: bool = False
) -> int:
    """Head with the first layer in groups of channels; `conv`: its last layers as convolutions."""
    w1, b1 = linear(weights, "expand", kernel.width, kernel.inner)
    means = [
        g.mean(g.hard_swish(g.linear(x, w1[part].copy(), b1[part])), (1,), keep=False)
        for part in groups_of(kernel.inner, parts)
    ]
    y = g.concatenation(means, 1)
    w2, b2 = linear(weights, "hidden", kernel.inner, kernel.hidden)
    w3, b3 = linear(weights, "classifier", kernel.hidden, kernel.classes)
    if not conv:
        return g.linear(g.hard_swish(g.linear(y, w2, b2)), w3, b3)
    y = g.reshape(y, (1, 1, 1, kernel.inner))
    y = g.conv(g.hard_swish(g.conv(y, w2[:, None, None], b2)), w3[:, None, None], b3)
    return g.reshape(y, (1, kernel.classes))


def groups_of(channels: int, parts: int) -> list[slice]:
    """Channels in about equal groups, each but the last a multiple of 16."""
    step = -(-channels // parts // 16) * 16
    return [slice(c, min(c + step, channels)) for c in range(0, channels, step)]
