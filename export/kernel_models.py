"""Kernels, and chains of them, as TFLite models in milliseconds.

A kernel's model holds the operators that litert-torch writes for the fused block of the
kernel, in its order and with its options; the converter itself needs about two seconds a
block. What is timed is therefore what is deployed. Weights are random, since they do not
change the time, or those of a fused network. Norms are per token unless the authors' joint form is
asked for. (Of a map of one pixel the converter drops what has become trivial; no preset has such
maps, and outputs agree there too.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
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
from export.norms import NORMS, Norm, per_token

_POOL = 2**18 + 1  # odd, so that rows of weights do not repeat


class Weights(Protocol):
    """Gives the weights of a block, by the name of the parameter in the fused block and the shape
    in which torch stores it."""

    def __call__(self, name: str, shape: Shape) -> Float32Array: ...


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


def _first_conv(graph: Graph, x: int, kernel: FirstConv, weights: Weights) -> int:
    return graph.hard_swish(_conv(graph, x, weights, "conv", kernel.cin, kernel.cout, 3, stride=2))


def _mbconv(graph: Graph, x: int, kernel: MBConv, weights: Weights) -> int:
    write = _whole if len(strips(kernel)) == 1 else _strips
    y = write(graph, x, kernel, weights)
    if kernel.stride == 2:
        x = graph.average_pool(x)
    if kernel.cin != kernel.cout:
        x = _conv(graph, x, weights, "shortcut", kernel.cin, kernel.cout, bias=False)
    return graph.add(y, x)


def _whole(graph: Graph, y: int, kernel: MBConv, weights: Weights) -> int:
    """An MBConv but for its residual."""
    inner = kernel.inner
    if kernel.expansion > 1:
        y = graph.hard_swish(_conv(graph, y, weights, "expand", kernel.cin, inner))
    y = graph.hard_swish(
        _depthwise(graph, y, weights, "depthwise", inner, kernel.kernel, kernel.stride)
    )
    if kernel.se:
        squeezed = inner // SE_RATIO
        gate = graph.mean(y, (2, 1), keep=True)
        gate = _conv(graph, gate, weights, "squeeze", inner, squeezed, activation="relu")
        gate = _conv(graph, gate, weights, "excite", squeezed, inner, activation="relu6")
        y = graph.multiply(y, gate)
    return _conv(graph, y, weights, "project", inner, kernel.cout)


def _strips(graph: Graph, x: int, kernel: MBConv, weights: Weights) -> int:
    """An MBConv but for its residual, in strips of rows; they share their weights."""
    inner, side = kernel.inner, kernel.kernel
    expand = _filters(weights, "expand", kernel.cin, inner)
    depthwise = _depthwise_filters(weights, "depthwise", inner, side)
    project = _filters(weights, "project", inner, kernel.cout)
    parts = []
    for strip in strips(kernel):
        y = graph.rows(x, strip.first, strip.rows)
        y = graph.hard_swish(graph.conv(y, *expand))
        rows = strip.above, strip.below
        y = graph.hard_swish(graph.depthwise(y, *depthwise, stride=kernel.stride, rows=rows))
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
    q = _linear(graph, normed, weights, "query", width, heads * QK_DIM)
    q = _by_head(graph, q, heads)
    k = _linear(graph, normed, weights, "key", width, heads * QK_DIM)
    k = graph.reshape(k, (n, heads, QK_DIM))
    v = _linear(graph, normed, weights, "value", width, v_width)
    v = graph.reshape(v, (1, size, size, v_width))
    v = _depthwise(graph, v, weights, "value_conv", v_width, 3, 1, bias=False)
    v = _by_head(graph, v, heads)
    scores = graph.matmul(q, graph.transpose(k, (1, 2, 0)))
    bias = graph.constant(weights("position_bias", (heads, n, n)))
    y = graph.matmul(graph.softmax(graph.add(scores, bias)), v)
    y = graph.reshape(graph.transpose(y, (1, 0, 2)), (1, n, v_width))
    y = graph.hard_swish(y)
    return graph.add(x, _linear(graph, y, weights, "project", v_width, width, flat=True))


def _ffn(graph: Graph, x: int, kernel: FFN, weights: Weights, norm: Norm = per_token) -> int:
    y = _linear(graph, norm(graph, x), weights, "fc1", kernel.width, kernel.inner)
    y = graph.hard_swish(y)
    return graph.add(x, _linear(graph, y, weights, "fc2", kernel.inner, kernel.width, flat=True))


def _head(graph: Graph, x: int, kernel: Head, weights: Weights) -> int:
    x = graph.hard_swish(_linear(graph, x, weights, "expand", kernel.width, kernel.inner))
    x = graph.mean(x, (1,), keep=False)
    x = graph.hard_swish(_linear(graph, x, weights, "hidden", kernel.inner, kernel.hidden))
    return _linear(graph, x, weights, "classifier", kernel.hidden, kernel.classes)


WRITERS: Mapping[type[Kernel], Callable[..., int]] = {
    FirstConv: _first_conv,
    MBConv: _mbconv,
    Downsample: _downsample,
    Attention: _attention,
    FFN: _ffn,
    Head: _head,
}


def _by_head(graph: Graph, x: int, heads: int) -> int:
    """Tokens or a map (1, ..., heads * d) as (heads, n, d)."""
    *_, channels = shape = graph.shape(x)
    split = graph.reshape(x, (math.prod(shape) // channels, heads, channels // heads))
    return graph.transpose(split, (1, 0, 2))


def _filters(
    weights: Weights, name: str, cin: int, cout: int, side: int = 1, *, bias: bool = True
) -> tuple[Float32Array, Float32Array | None]:
    """Filters (out, k, k, in) of a convolution, which torch stores as (out, in, k, k), and bias."""
    weight = weights(f"{name}.weight", (cout, cin, side, side)).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(weight), weights(f"{name}.bias", (cout,)) if bias else None


def _depthwise_filters(
    weights: Weights, name: str, channels: int, side: int, *, bias: bool = True
) -> tuple[Float32Array, Float32Array | None]:
    """Filters (1, k, k, channels) of a depthwise convolution, and bias."""
    weight = weights(f"{name}.weight", (channels, 1, side, side)).transpose(1, 2, 3, 0)
    return np.ascontiguousarray(weight), weights(f"{name}.bias", (channels,)) if bias else None


def _conv(
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
    filters = _filters(weights, name, cin, cout, side, bias=bias)
    return graph.conv(x, *filters, stride=stride, activation=activation)


def _depthwise(
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
    filters = _depthwise_filters(weights, name, channels, side, bias=bias)
    return graph.depthwise(x, *filters, stride=stride)


def _linear(
    graph: Graph, x: int, weights: Weights, name: str, cin: int, cout: int, *, flat: bool = False
) -> int:
    weight, bias = weights(f"{name}.weight", (cout, cin)), weights(f"{name}.bias", (cout,))
    return graph.linear(x, weight, bias, flat=flat)
