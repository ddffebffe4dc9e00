"""Small TFLite files that other tools could have made: sums of inputs of any type and shape."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

FLOAT32, INT32, INT8 = (
    schema.TensorType.FLOAT32,
    schema.TensorType.INT32,
    schema.TensorType.INT8,
)


def add_model(*types: int, shape: Sequence[int] = (1, 8, 8, 4), subgraphs: int = 1) -> bytes:
    """A model with two inputs for each type, whose outputs are their sums.

    Args:
        types: Types of the tensors; XNNPACK takes sums of `FLOAT32` and leaves those of `INT32`.
        shape: Shape of all tensors; -1 for a dimension that is left open.
        subgraphs: How many copies of the graph the file holds.
    """
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    model.operatorCodes, model.buffers = [code], [schema.BufferT()]
    model.subgraphs = [_graph(types, shape) for _ in range(subgraphs)]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _graph(types: Sequence[int], shape: Sequence[int]) -> schema.SubGraphT:
    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
    for kind in types:
        first = len(graph.tensors)
        for part in ("a", "b", "sum"):
            tensor = schema.TensorT()
            tensor.name, tensor.type = f"{part}{first}".encode(), kind
            tensor.shape = [max(n, 1) for n in shape]
            if -1 in shape:
                tensor.shapeSignature = list(shape)
            if kind == INT8:
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]
            graph.tensors.append(tensor)
        operator = schema.OperatorT()
        operator.opcodeIndex = 0
        operator.inputs, operator.outputs = [first, first + 1], [first + 2]
        operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
        operator.builtinOptions = schema.AddOptionsT()
        graph.operators.append(operator)
        graph.inputs += [first, first + 1]
        graph.outputs.append(first + 2)
    return graph
