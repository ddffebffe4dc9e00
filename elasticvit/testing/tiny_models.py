"""TFLite models made from the schema alone, so that device tests need no converter."""

from __future__ import annotations

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def _tensor(name: str, shape: list[int], buffer: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name, shape, buffer
    tensor.type = schema.TensorType.FLOAT32
    return tensor


def dense_model(width: int, layers: int = 1, *, seed: int = 0, weight_width: int = 0) -> bytes:
    """Make a TFLite flatbuffer of fully connected layers; its input and output are float32
    `(1, width)`.

    Args:
        width: Number of inputs and outputs of each layer.
        layers: Number of layers.
        seed: Random seed of the weights.
        weight_width: Columns of the weights; if it is neither 0 nor `width`, the shapes of the
            model contradict each other and the runtime must refuse it.
    """
    rng = np.random.default_rng(seed)
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes = [code]
    graph.tensors, graph.operators = [_tensor("in", [1, width], 0)], []
    for layer in range(layers):
        columns = weight_width or width
        weights = rng.standard_normal((width, columns), dtype=np.float32) / width
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(weights.tobytes(), np.uint8)
        model.buffers.append(buffer)
        graph.tensors.append(_tensor(f"w{layer}", [width, columns], len(model.buffers) - 1))
        graph.tensors.append(_tensor(f"out{layer}", [1, width], 0))
        operator = schema.OperatorT()
        operator.opcodeIndex = 0
        operator.inputs = [0 if layer == 0 else 2 * layer, 2 * layer + 1, -1]
        operator.outputs = [2 * layer + 2]
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        graph.operators.append(operator)
    graph.inputs, graph.outputs = [0], [2 * layers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def endless_model(*, recursive: bool) -> bytes:
    """Make a valid TFLite flatbuffer that never ends: the condition of its loop is always True.

    Args:
        recursive: Whether the loop's body holds the same loop, so that the runtime runs out of
            stack and dies while it plans memory.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(dense_model(8), 0))
    main = model.subgraphs[0]
    yes = schema.BufferT()
    yes.data = np.array([1], np.uint8)
    model.buffers.append(yes)
    condition, body = schema.SubGraphT(), schema.SubGraphT()
    always = _tensor("yes", [], len(model.buffers) - 1)
    always.type = schema.TensorType.BOOL
    condition.tensors, condition.operators = [_tensor("in", [1, 8], 0), always], []
    condition.inputs, condition.outputs = [0], [1]
    loop = schema.OperatorT()
    loop.opcodeIndex, loop.inputs, loop.outputs = 1, [0], [2]
    loop.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    loop.builtinOptions = schema.WhileOptionsT()
    loop.builtinOptions.condSubgraphIndex, loop.builtinOptions.bodySubgraphIndex = 1, 2
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE
    model.operatorCodes.append(code)
    body.tensors, body.inputs, body.outputs = main.tensors, [0], [2]
    body.operators = [loop] if recursive else main.operators
    main.operators = [loop]
    model.subgraphs = [main, condition, body]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
