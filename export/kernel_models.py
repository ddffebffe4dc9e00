"""Kernels, and chains of them, as TFLite models in milliseconds.

A kernel's model holds the operators that litert-torch writes for the fused block of the kernel
(`export.kernel_graphs`); the converter itself needs about two seconds a block. What is timed is
therefore what is deployed. Weights are random, since they do not change the time, or those of a
fused network. (Of a map of one pixel the converter drops what has become trivial; no preset has
such maps, and outputs agree there too.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.kernels import FFN, Attention, Downsample, FirstConv, Head, Kernel, MBConv
from export.graph import Graph, Shape
from export.kernel_graphs import WRITERS
from export.layers import Weights
from export.norms import NORMS

_POOL = 2**18 + 1  # odd, so that rows of weights do not repeat


def kernel_model(
    kernels: Sequence[Kernel], *, seed: int = 0, change: Callable[[Any], object] | None = None
) -> bytes:
    """TFLite model of a chain of kernels with random weights.

    Input and output of an MBConv or first convolution are feature maps (1, size, size, channels),
    those of other kernels tokens (1, size * size, width); a head gives logits (1, classes).

    Each kernel reads the output of the one before it. Copies of a kernel whose output does not
    fit its input stand side by side on the same input, each with its own weights and output.

    Args:
        kernels: One kernel, copies of one, or a network (`lower(arch, layout)`).
        seed: Random seed of the weights.
        change: As in `Graph.finish`, such as `export.written_precision.write_in("int8")`.

    Returns:
        Content of the TFLite file.

    Raises:
        ExportError: There is no kernel, or one does not fit the output of the one before it.
    """
    draw = random_weights(seed)
    return network_model([(kernel, draw) for kernel in kernels], change)


def random_weights(seed: int) -> Weights:
    """Weights that keep activations at about unit scale.

    They are stretches of one pool of random numbers: drawing millions anew would take longer
    than writing the model, and the time of a run does not depend on them.
    """
    rng = np.random.default_rng(seed)
    pool = rng.random(_POOL, dtype=np.float32) - np.float32(0.5)

    def draw(name: str, shape: Shape) -> Float32Array:
        scale = np.float32(math.sqrt(12 / max(1, math.prod(shape[1:]))))
        values = np.empty(math.prod(shape), np.float32)
        done, start = 0, int(rng.integers(_POOL))
        while done < values.size:
            stretch = pool[start : start + values.size - done]
            np.multiply(stretch, scale, out=values[done : done + stretch.size])
            done, start = done + stretch.size, 0
        return values.reshape(shape)

    return draw


def network_model(
    blocks: Sequence[tuple[Kernel, Weights]],
    change: Callable[[Any], object] | None = None,
    *,
    norm: str = "per_token",
) -> bytes:
    """TFLite model of a chain of kernels with given weights; see `kernel_model`.

    Args:
        blocks: Each kernel with the weights of its fused block.
        change: As in `Graph.finish`.
        norm: Form of the layer norms, as `BlockOptions.norm` names it.

    Returns:
        Content of the TFLite file.

    Raises:
        ExportError: There is no kernel, or one does not fit the output of the one before it.
    """
    if not blocks:
        raise ExportError("a kernel model needs at least one kernel")
    graph = Graph()
    first = blocks[0][0]
    x = source = graph.input(input_shape(first))
    outputs: list[int] = []
    for kernel, weights in blocks:
        if outputs and kernel == first and not _fits(graph, x, kernel):
            x = source
        elif outputs:
            if not _fits(graph, x, kernel):
                raise ExportError(
                    f"kernel {kernel.key} cannot follow an output of shape {graph.shape(x)}; "
                    "give kernels in the order of `lower`, or copies of one kernel"
                )
            outputs.pop()
        write = WRITERS[type(kernel)]
        if isinstance(kernel, (Attention, FFN)):
            write = partial(write, norm=NORMS[norm])
        x = write(graph, x, kernel, weights)
        outputs.append(x)
    return graph.finish(outputs, change)


def from_arrays(arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "") -> Weights:
    """Weights out of the state of a fused network.

    The weights raise an `ExportError` if an array is missing or has another shape.

    Args:
        arrays: Arrays by parameter name, in the shapes that torch stores.
        prefix: Prefix of the names of the block's parameters.
    """

    def pick(name: str, shape: Shape) -> Float32Array:
        value = arrays.get(prefix + name)
        if value is None or value.shape != shape:
            found = "nothing" if value is None else f"shape {value.shape}"
            raise ExportError(f"weights {prefix + name}: expected shape {shape}, found {found}")
        return np.asarray(value, dtype=np.float32)

    return pick


def input_shape(kernel: Kernel) -> Shape:
    """Shape of the input of a kernel's model: a feature map (1, size, size, cin), or tokens
    (1, size * size, width)."""
    if isinstance(kernel, (Attention, FFN, Head)):
        return (1, kernel.size**2, kernel.width)
    assert isinstance(kernel, (FirstConv, MBConv, Downsample))
    return (1, kernel.size, kernel.size, kernel.cin)


def _fits(graph: Graph, x: int, kernel: Kernel) -> bool:
    shape, wanted = graph.shape(x), input_shape(kernel)
    if isinstance(kernel, Downsample) and len(shape) == 3:
        return shape == (1, kernel.size**2, kernel.cin)
    return shape == wanted
