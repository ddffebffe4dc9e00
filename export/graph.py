"""Writes TFLite flatbuffers operator by operator.

`Graph` collects tensors and operators of one float32 model and packs them with the schema's
object API. It supports the operators of this project's networks, each with the options that
litert-torch writes, and nothing of networks.

Shapes are TFLite's: images (1, H, W, C), convolution filters (out, kh, kw, in), depthwise
filters (1, kh, kw, channels), linear weights (out, in).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from elasticvit.arrays import Float32Array
from elasticvit.strips import same_padding
from export.flatbuffer import AlignedBuffer, packed

Shape = tuple[int, ...]

_SCHEMA_VERSION = 3
_SIGNATURE = b"serving_default"
_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID
_VERSIONS = {"FULLY_CONNECTED": 5}  # keeps dimensions and allows no bias; the others are 1
ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


class Graph:
    """One model under construction. Tensors are named by their index; all are float32, but for
    the int32 constants that give axes and shapes.

    Every operator method appends one operator and returns the index of its output.
    """

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # index 0 is "no data" by convention
        self._codes: dict[str, int] = {}
        self._shared: dict[int | str, tuple[int, npt.NDArray[Any]]] = {}
        self._inputs: list[int] = []

    def shape(self, tensor: int) -> Shape:
        """Shape of a tensor."""
        return tuple(self._tensors[tensor].shape)

    def input(self, shape: Shape) -> int:
        """A float32 input of the model."""
        self._inputs.append(self._tensor(shape))
        return self._inputs[-1]

    def constant(self, value: npt.NDArray[Any]) -> int:
        """A float32 or int32 constant; one array, or equal integers, are stored once."""
        floats = value.dtype == np.float32
        key = id(value) if floats else repr(value.tolist())
        if key not in self._shared:
            buffer = AlignedBuffer()
            buffer.data = np.ascontiguousarray(value)
            self._buffers.append(buffer)
            kind = schema.TensorType.FLOAT32 if floats else schema.TensorType.INT32
            tensor = self._tensor(value.shape, kind, len(self._buffers) - 1)
            self._shared[key] = tensor, value  # an array that lives keeps its id
        return self._shared[key][0]

    def integers(self, values: Sequence[Any]) -> int:
        """An int32 constant."""
        return self.constant(np.array(values, dtype=np.int32))

    def conv(
        self,
        x: int,
        weight: Float32Array,
        bias: Float32Array | None,
        *,
        stride: int = 1,
        activation: str | None = None,
    ) -> int:
        """2-d convolution, padded by half the filter on every side as torch does.

        Args:
            x: Image or feature map (1, H, W, in).
            weight: Filters (out, k, k, in).
            bias: Bias (out,); None for zeros.
            stride: Stride in pixels.
            activation: Fused activation: None, `relu` or `relu6`.

        Returns:
            Feature map (1, H / stride, W / stride, out), sides rounded up.
        """
        out, side = weight.shape[0], weight.shape[1]
        x, padding = self._padded(x, side, stride)
        options = schema.Conv2DOptionsT()
        options.padding = padding if side > 1 else _VALID
        options.strideW = options.strideH = stride
        options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = ACTIVATIONS[activation]
        shape = self._windows(x, side, stride, options.padding, out)
        bias = np.zeros(out, np.float32) if bias is None else bias
        inputs = [x, self.constant(weight), self.constant(bias)]
        return self._operator("CONV_2D", inputs, shape, options)

    def depthwise(
        self,
        x: int,
        weight: Float32Array,
        bias: Float32Array | None,
        *,
        stride: int = 1,
        rows: tuple[int, int] | None = None,
    ) -> int:
        """Depthwise convolution, padded by half the filter on every side as torch does.

        Args:
            x: Feature map (1, H, W, channels).
            weight: Filters (1, k, k, channels).
            bias: Bias (channels,); None for zeros.
            stride: Stride in pixels.
            rows: Rows of zeros above and below, where they are not half the filter.

        Returns:
            Feature map (1, H / stride, W / stride, channels), sides rounded up; fewer rows where
            fewer are padded.
        """
        channels, side = weight.shape[3], weight.shape[1]
        x, padding = self._padded(x, side, stride, rows)
        options = schema.DepthwiseConv2DOptionsT()
        options.padding, options.depthMultiplier = padding, 1
        options.strideW = options.strideH = stride
        options.dilationWFactor = options.dilationHFactor = 1
        shape = self._windows(x, side, stride, padding, channels)
        bias = np.zeros(channels, np.float32) if bias is None else bias
        inputs = [x, self.constant(weight), self.constant(bias)]
        return self._operator("DEPTHWISE_CONV_2D", inputs, shape, options)

    def average_pool(self, x: int) -> int:
        """2x2 average pool of stride 2 of a feature map (1, H, W, C); an odd side is first padded
        by 1 on both ends."""
        if self.shape(x)[1] % 2:
            x = self.pad(x, 1)
        options = schema.Pool2DOptionsT()
        options.padding = _VALID
        options.strideW = options.strideH = options.filterWidth = options.filterHeight = 2
        shape = self._windows(x, 2, 2, _VALID, self.shape(x)[3])
        return self._operator("AVERAGE_POOL_2D", [x], shape, options)

    def pad(self, x: int, margin: int, rows: tuple[int, int] | None = None) -> int:
        """Zeros around a feature map (1, H, W, C): `margin` pixels on every side, or `rows` of them
        above and below."""
        batch, height, width, channels = self.shape(x)
        rows = (margin, margin) if rows is None else rows
        ends = self.integers([(0, 0), rows, (margin, margin), (0, 0)])
        shape = (batch, height + sum(rows), width + 2 * margin, channels)
        return self._operator("PAD", [x, ends], shape)

    def rows(self, x: int, first: int, count: int) -> int:
        """Rows `first` to `first + count` of a feature map (1, H, W, C)."""
        batch, _, width, channels = self.shape(x)
        shape = (batch, count, width, channels)
        inputs = [x, self.integers((0, first, 0, 0)), self.integers(shape)]
        return self._operator("SLICE", inputs, shape, schema.SliceOptionsT())

    def concatenate(self, parts: Sequence[int], axis: int) -> int:
        """Tensors one behind another along an axis."""
        options = schema.ConcatenationOptionsT()
        options.axis = axis
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        return self._operator("CONCATENATION", parts, tuple(shape), options)

    def linear(
        self, x: int, weight: Float32Array, bias: Float32Array | None, *, flat: bool = False
    ) -> int:
        """Linear layer over the last dimension.

        Args:
            x: Tokens (..., in).
            weight: Weights (out, in).
            bias: Bias (out,); None for none.
            flat: Whether the output is a matrix (n, out) instead of (..., out), which is the form
                that the converter gives it in front of a residual addition.
        """
        options = schema.FullyConnectedOptionsT()
        options.keepNumDims = not flat
        *lead, _ = self.shape(x)
        shape = (*([math.prod(lead)] if flat else lead), weight.shape[0])
        inputs = [x, self.constant(weight), -1 if bias is None else self.constant(bias)]
        return self._operator("FULLY_CONNECTED", inputs, shape, options)

    def matmul(self, a: int, b: int, *, transpose_b: bool = False) -> int:
        """Product of two batches of matrices (..., m, k) and (..., k, n), or (..., n, k) with
        `transpose_b`."""
        options = schema.BatchMatMulOptionsT()
        options.adjY = transpose_b
        shape = (*self.shape(a)[:-1], self.shape(b)[-2 if transpose_b else -1])
        return self._operator("BATCH_MATMUL", [a, b], shape, options)

    def add(self, a: int, b: int) -> int:
        """Sum, broadcast as numpy does."""
        return self._operator("ADD", [a, b], self._broadcast(a, b), schema.AddOptionsT())

    def subtract(self, a: int, b: int) -> int:
        """Difference, broadcast as numpy does."""
        return self._operator("SUB", [a, b], self._broadcast(a, b), schema.SubOptionsT())

    def multiply(self, a: int, b: int) -> int:
        """Product element by element, broadcast as numpy does."""
        return self._operator("MUL", [a, b], self._broadcast(a, b), schema.MulOptionsT())

    def mean(self, x: int, axes: Sequence[int], *, keep: bool) -> int:
        """Mean over axes; with `keep` they stay, with length 1."""
        options = schema.ReducerOptionsT()
        options.keepDims = keep
        old = self.shape(x)
        shape = tuple(1 if i in axes else n for i, n in enumerate(old) if keep or i not in axes)
        return self._operator("MEAN", [x, self.integers(axes)], shape, options)

    def rsqrt(self, x: int) -> int:
        """One over the square root, element by element."""
        return self._operator("RSQRT", [x], self.shape(x))

    def hard_swish(self, x: int) -> int:
        """Hard swish, element by element."""
        return self._operator("HARD_SWISH", [x], self.shape(x))

    def softmax(self, x: int) -> int:
        """Softmax over the last dimension."""
        options = schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self._operator("SOFTMAX", [x], self.shape(x), options)

    def reshape(self, x: int, shape: Shape) -> int:
        """The same values in another shape."""
        return self._operator("RESHAPE", [x, self.integers(shape)], shape)

    def transpose(self, x: int, order: Sequence[int]) -> int:
        """The tensor with its axes in another order."""
        old = self.shape(x)
        shape = tuple(old[i] for i in order)
        return self._operator("TRANSPOSE", [x, self.integers(order)], shape)

    def finish(
        self, outputs: Sequence[int], change: Callable[[Any], object] | None = None
    ) -> bytes:
        """Content of the TFLite file with these outputs, and one signature.

        Args:
            change: Changes the schema's object of the model before it is packed.
        """
        subgraph = schema.SubGraphT()
        subgraph.name = b"main"
        subgraph.tensors, subgraph.operators = self._tensors, self._operators
        subgraph.inputs, subgraph.outputs = self._inputs, list(outputs)
        model = schema.ModelT()
        model.version = _SCHEMA_VERSION
        model.description = b"elasticvit"
        model.operatorCodes = [_operator_code(name) for name in self._codes]
        model.subgraphs, model.buffers = [subgraph], self._buffers
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = _SIGNATURE, 0
        signature.inputs = [_named(b"args_%d" % i, t) for i, t in enumerate(self._inputs)]
        signature.outputs = [_named(b"output_%d" % i, t) for i, t in enumerate(outputs)]
        model.signatureDefs = [signature]
        if change is not None:
            change(model)
        return packed(model)

    def _tensor(self, shape: Shape, kind: int = schema.TensorType.FLOAT32, buffer: int = 0) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), kind, buffer
        tensor.name, tensor.hasRank = b"t%d" % len(self._tensors), True
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def _operator(self, name: str, inputs: Sequence[int], shape: Shape, options: Any = None) -> int:
        output = self._tensor(shape)
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(name, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = options
        self._operators.append(operator)
        return output

    def _padded(
        self, x: int, side: int, stride: int, rows: tuple[int, int] | None = None
    ) -> tuple[int, int]:
        """The tensor to convolve and TFLite's padding: `same` where it pads as is wanted;
        otherwise the zeros are written, which the delegate fuses."""
        columns = side // 2, side // 2
        rows = rows or columns
        _, height, width, _ = self.shape(x)
        if (same_padding(height, side, stride), same_padding(width, side, stride)) == (
            rows,
            columns,
        ):
            return x, _SAME
        return self.pad(x, side // 2, rows), _VALID

    def _windows(self, x: int, side: int, stride: int, padding: int, channels: int) -> Shape:
        batch, *sides, _ = self.shape(x)
        lost = side - 1 if padding == _VALID else 0
        height, width = (-(-(size - lost) // stride) for size in sides)
        return (batch, height, width, channels)

    def _broadcast(self, a: int, b: int) -> Shape:
        return tuple(np.broadcast_shapes(self.shape(a), self.shape(b)))


def _operator_code(name: str) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = _VERSIONS.get(name, 1)
    return code


def _named(name: bytes, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry
