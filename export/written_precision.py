"""A float32 model in another precision before it is packed, in the time that writing it takes.

`export.precision` takes any file to a precision and proves it, in 10 to 20 times the time that a
kernel model is written in, and reads images to know the ranges of activations. A profile writes
thousands of models whose weights are random and whose outputs nobody reads. What is written here
has the same operators on tensors of the same types, which is what the time of a run depends on;
tests hold it against the quantiser. All activations of `int8-full` have one range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from elasticvit.arrays import Float32Array
from elasticvit.precisions import FP16, FP32, INT8, INT8_FULL
from export.flatbuffer import AlignedBuffer
from export.float_layers import stays_float
from export.half_constants import halve_constants
from export.precision import FP16_ARITHMETIC, REDUCED_PRECISION

SCALE = 1 / 16  # of activations in 8 bits, which reach from -8 to 8
ACTIVATIONS = np.array([SCALE], np.float32)
MOST = 127  # of the values of 8 bits; -128 is left out, as the quantiser does with weights
_LAYERS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # axis of a weight's outputs
_TYPES = {
    "float16": schema.TensorType.FLOAT16,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


def write_in(precision: str) -> Callable[[Any], None]:
    """What changes a float32 model (`ModelT` of the schema) into one of a precision, in place."""

    def change(model: Any) -> None:
        if precision != FP32:
            _Writer(model, precision).run()
            halve_constants(model)

    return change


class _Writer:
    """One model under change: its operators are gone through in order and written anew."""

    def __init__(self, model: Any, precision: str) -> None:
        self.model, self.precision = model, precision
        self.graph = model.subgraphs[0]
        self.names = [_code_name(code) for code in model.operatorCodes]
        self.written: list[Any] = []
        self.in_8_bits: dict[int, int] = {}  # the tensor that holds a float one in 8 bits
        self.computed = {int(t) for t in self.graph.inputs}  # float tensors that are there
        self.scales: dict[int, Float32Array] = {}  # of constants in 8 bits; layers may share them

    def run(self) -> None:
        for operator in self.graph.operators:
            self._operator(operator)
        for tensor in self.graph.outputs:
            self._as_float(int(tensor))
        self.graph.operators = self.written
        if self.precision == FP16:
            self._allow_fp16()

    def _operator(self, operator: Any) -> None:
        name = self.names[operator.opcodeIndex]
        inputs = [int(t) for t in operator.inputs]
        if self.precision == INT8_FULL and (name in _LAYERS or name == "PAD"):
            self._static(operator, name, inputs)
            return
        for tensor in inputs:
            self._as_float(tensor)
        narrow = name in _LAYERS and not stays_float(name, self._shape(inputs[1]))
        if name in _LAYERS and self.precision == FP16:
            self._halve(inputs[1])
        elif narrow and self.precision == INT8:
            self._narrow_weight(inputs[1], _LAYERS[name])
        self._write(operator)

    def _static(self, operator: Any, name: str, inputs: list[int]) -> None:
        """A layer or padding on 8-bit activations."""
        inputs[0] = self._as_8_bits(inputs[0])
        if name in _LAYERS:
            scales = self._narrow_weight(inputs[1], _LAYERS[name])
            if len(inputs) > 2 and inputs[2] >= 0 and inputs[2] not in self.scales:
                sums = scales * np.float32(SCALE)
                bias = np.rint(self._value(inputs[2]) / sums).astype(np.int32)
                self._store(inputs[2], bias, sums)
                self.scales[inputs[2]] = sums
        output = int(operator.outputs[0])
        narrow = self._tensor(self._shape(output), schema.TensorType.INT8)
        self._scale(narrow, ACTIVATIONS)
        operator.inputs, operator.outputs = inputs, [narrow]
        self.in_8_bits[output] = narrow
        self._write(operator)

    def _as_8_bits(self, tensor: int) -> int:
        if tensor not in self.in_8_bits:
            narrow = self._tensor(self._shape(tensor), schema.TensorType.INT8)
            self._scale(narrow, ACTIVATIONS)
            self._convert("QUANTIZE", tensor, narrow)
            self.in_8_bits[tensor] = narrow
        return self.in_8_bits[tensor]

    def _as_float(self, tensor: int) -> None:
        """See to it that a float tensor is there, if it is one that was computed in 8 bits."""
        if tensor in self.in_8_bits and tensor not in self.computed:
            self._convert("DEQUANTIZE", self.in_8_bits[tensor], tensor)

    def _write(self, operator: Any) -> None:
        self.written.append(operator)
        self.computed |= {int(t) for t in operator.outputs}

    def _convert(self, name: str, source: int, target: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs, operator.outputs = [source], [target]
        self._write(operator)

    def _halve(self, tensor: int) -> None:
        """Keep a weight in 16 bits; the model itself makes floats of it, once."""
        if tensor in self.computed:
            return
        half = self._tensor(self._shape(tensor), schema.TensorType.FLOAT16)
        own, value = self.graph.tensors[tensor], self._value(tensor).astype(np.float16)
        self.graph.tensors[half].buffer, own.buffer = own.buffer, 0  # it is computed from now on
        self._store(half, value)
        self._convert("DEQUANTIZE", half, tensor)

    def _narrow_weight(self, tensor: int, axis: int) -> Float32Array:
        """Keep a weight in 8 bits; returns the scale of each of its outputs."""
        if tensor in self.scales:
            return self.scales[tensor]
        value = self._value(tensor)
        others = tuple(i for i in range(value.ndim) if i != axis)
        largest = np.maximum(value.max(axis=others), -value.min(axis=others))
        scales: Float32Array = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(MOST)
        shape = [-1 if i == axis else 1 for i in range(value.ndim)]
        self._store(tensor, np.rint(value / scales.reshape(shape)).astype(np.int8), scales, axis)
        self.scales[tensor] = scales
        return scales

    def _value(self, tensor: int) -> Float32Array:
        """A float32 constant of the model."""
        buffer = self.model.buffers[self.graph.tensors[tensor].buffer]
        value: Float32Array = buffer.data.reshape(-1).view(np.float32)
        return value.reshape(self._shape(tensor))

    def _store(
        self,
        tensor: int,
        value: npt.NDArray[Any],
        scales: Float32Array | None = None,
        axis: int = 0,
    ) -> None:
        """Make a tensor a constant, in the place of what it was."""
        own = self.graph.tensors[tensor]
        if not own.buffer:
            self.model.buffers.append(AlignedBuffer())
            own.buffer = len(self.model.buffers) - 1
        self.model.buffers[own.buffer].data = np.ascontiguousarray(value)
        own.type = _TYPES[value.dtype.name]
        if scales is not None:
            self._scale(tensor, scales, axis)

    def _scale(self, tensor: int, scales: Float32Array, axis: int = 0) -> None:
        parameters = schema.QuantizationParametersT()
        parameters.scale, parameters.zeroPoint = scales, np.zeros(len(scales), np.int64)
        parameters.quantizedDimension = axis
        self.graph.tensors[tensor].quantization = parameters

    def _tensor(self, shape: tuple[int, ...], kind: int) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type = list(shape), kind
        tensor.name, tensor.hasRank = b"t%d" % len(self.graph.tensors), True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self.graph.tensors[tensor].shape)

    def _code(self, name: str) -> int:
        if name not in self.names:
            code = schema.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
            code.version = 1
            self.model.operatorCodes.append(code)
            self.names.append(name)
        return self.names.index(name)

    def _allow_fp16(self) -> None:
        buffer = AlignedBuffer()
        buffer.data = np.frombuffer(FP16_ARITHMETIC, np.uint8)
        self.model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = REDUCED_PRECISION.encode(), len(self.model.buffers) - 1
        self.model.metadata = [*(self.model.metadata or []), entry]


def _code_name(code: Any) -> str:
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return next(n for n, value in vars(schema.BuiltinOperator).items() if value == number)
