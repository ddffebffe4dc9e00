"""Large constants beside the weights, such as position biases, in 16 bits.

Quantisers change the weights of layers and leave other constants as they are. The position biases
of attention are then a fifth of the file of a large network in 8 bits. Here they are stored in 16
bits with a `DEQUANTIZE` behind them, as the quantiser stores weights in fp16: the CPU delegate
unpacks them once, when the model is loaded, so that no run takes longer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.flatbuffer import AlignedBuffer
from export.inspect import operator_name

LEAST_VALUES = 256  # smaller constants are not worth an operator
ELEMENTWISE = ("ADD", "SUB", "MUL")
_LARGEST = float(np.finfo(np.float16).max)


def halve_constants(model: Any) -> None:
    """Store the large float32 constants of element-wise operators in 16 bits, in place.

    Constants with values that 16 bits cannot hold stay as they are.

    Args:
        model: The schema's object of a TFLite file, whose buffers are `AlignedBuffer`.
    """
    for graph in model.subgraphs:
        found: list[int] = []
        for operator in graph.operators:
            if operator_name(model, operator) in ELEMENTWISE:
                found += [int(t) for t in operator.inputs if _is_large(model, graph, int(t))]
        unpackings = [_halved(model, graph, tensor) for tensor in dict.fromkeys(found)]
        graph.operators = [*unpackings, *graph.operators]
    _drop_unused(model)


def _is_large(model: Any, graph: Any, index: int) -> bool:
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT32 or data is None:
        return False
    values = data.view(np.float32)
    return values.size >= LEAST_VALUES and bool((np.abs(values) <= _LARGEST).all())


def _halved(model: Any, graph: Any, index: int) -> Any:
    """The operator that unpacks a constant, whose tensor then holds no data itself."""
    whole = graph.tensors[index]
    values = model.buffers[whole.buffer].data.view(np.float32)
    buffer = AlignedBuffer()
    buffer.data = values.astype(np.float16)
    model.buffers.append(buffer)
    half = schema.TensorT()
    half.name, half.shape = (whole.name or b"") + b"_half", whole.shape
    half.type, half.buffer = schema.TensorType.FLOAT16, len(model.buffers) - 1
    half.hasRank = True
    graph.tensors.append(half)
    whole.buffer = 0
    operator = schema.OperatorT()
    operator.opcodeIndex = _dequantize(model)
    operator.inputs, operator.outputs = [len(graph.tensors) - 1], [index]
    return operator


def _drop_unused(model: Any) -> None:
    """Empty the buffers that no tensor holds any more."""
    used = {int(tensor.buffer) for graph in model.subgraphs for tensor in graph.tensors}
    used |= {int(entry.buffer) for entry in model.metadata or []}
    for index, buffer in enumerate(model.buffers):
        if index not in used:
            buffer.data = None


def _dequantize(model: Any) -> int:
    """Index of the operator code of `DEQUANTIZE`, which is added if there is none."""
    wanted = schema.BuiltinOperator.DEQUANTIZE
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = wanted
    code.version = 3  # the first with float16 constants
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
