"""Operators that formulations are tried with, besides those that exported files hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from elasticvit.arrays import Float32Array
from export.graph import Graph


class WideGraph(Graph):
    """A graph under construction with more operators."""

    def squared_difference(self, a: int, b: int) -> int:
        """Square of the difference, broadcast as numpy does."""
        options = schema.SquaredDifferenceOptionsT()
        return self._operator("SQUARED_DIFFERENCE", [a, b], self._broadcast(a, b), options)

    def relu6(self, x: int) -> int:
        """The values, cut at 0 and 6."""
        return self._operator("RELU6", [x], self.shape(x))

    def slice(self, x: int, start: Sequence[int], shape: Sequence[int]) -> int:
        """A part of a tensor, from `start`, of a shape."""
        inputs = [x, self.integers(start), self.integers(shape)]
        return self._operator("SLICE", inputs, tuple(shape), schema.SliceOptionsT())

    def concatenation(self, parts: Sequence[int], axis: int) -> int:
        """Tensors one behind another, in operators of at most four inputs."""
        while len(parts) > 1:
            groups = [list(parts[i : i + 4]) for i in range(0, len(parts), 4)]
            parts = [g[0] if len(g) == 1 else self.concatenate(g, axis) for g in groups]
        return parts[0]

    def pooled_strides(self, x: int, weight: Float32Array) -> int:
        """A 1x1 convolution (out, 1, 1, in) behind a 2x2 average pool, as one 2x2 convolution."""
        if self.shape(x)[1] % 2:
            x = self.pad(x, 1)
        spread = np.ascontiguousarray(np.repeat(np.repeat(weight, 2, 1), 2, 2) / np.float32(4))
        options = schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.VALID, 2, 2
        options.dilationWFactor = options.dilationHFactor = 1
        shape = self._windows(x, 2, 2, options.padding, weight.shape[0])
        inputs = [x, self.constant(spread), self.constant(np.zeros(weight.shape[0], np.float32))]
        return self._operator("CONV_2D", inputs, shape, options)

    def average_of_map(self, x: int) -> int:
        """Mean over the pixels of a map (1, H, W, C) by a pool as large as the map."""
        batch, height, width, channels = self.shape(x)
        options = schema.Pool2DOptionsT()
        options.padding, options.strideW, options.strideH = schema.Padding.VALID, 1, 1
        options.filterWidth, options.filterHeight = width, height
        return self._operator("AVERAGE_POOL_2D", [x], (batch, 1, 1, channels), options)
