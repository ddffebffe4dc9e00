"""The two forms of layer norm as operators, without scale and shift, which are part of the linear
layer behind it: each token by itself, or all tokens of an image together, as in the authors'
network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from export.graph import Graph

NORM_EPS = 1e-5
Norm = Callable[[Graph, int], int]


def per_token(graph: Graph, x: int) -> int:
    """Tokens (1, n, width), each normalised over its channels."""
    centred = graph.subtract(x, graph.mean(x, (2,), keep=True))
    variance = graph.mean(graph.multiply(centred, centred), (2,), keep=False)
    variance = graph.add(variance, graph.constant(np.array(NORM_EPS, np.float32)))
    variance = graph.reshape(variance, (*graph.shape(variance), 1))
    return graph.multiply(centred, graph.rsqrt(variance))


def joint(graph: Graph, x: int) -> int:
    """Tokens (1, n, width), normalised over tokens and channels together."""
    centred = graph.subtract(x, graph.mean(x, (1, 2), keep=True))
    variance = graph.mean(graph.multiply(centred, centred), (1, 2), keep=True)
    variance = graph.add(variance, graph.constant(np.full((1, 1, 1), NORM_EPS, np.float32)))
    return graph.multiply(centred, graph.rsqrt(variance))


NORMS: Mapping[str, Norm] = {"per_token": per_token, "joint": joint}  # by `BlockOptions.norm`
