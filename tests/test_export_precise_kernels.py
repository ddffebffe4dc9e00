"""Kernel models written in a precision: the operators and types of the quantiser's own files."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from elasticvit.cost import reachable_kernels
from elasticvit.kernels import KINDS, Kernel, MBConv, lower
from elasticvit.precisions import PRECISIONS
from elasticvit.space import MOBILE, TINY, SearchSpace
from export.calibration import LEAST_IMAGES
from export.flatbuffer import unpacked
from export.inspect import delegation
from export.kernel_models import input_shape, kernel_model
from export.precise_kernels import kernel_models_in
from export.precision import in_precision
from export.precision_check import check_precision, tensor_types

OTHERS = [p for p in PRECISIONS if p != "fp32"]
TYPES = {n: name for name, n in vars(schema.TensorType).items() if not name.startswith("_")}
OPERATORS = {n: name for name, n in vars(schema.BuiltinOperator).items() if name[0] != "_"}


def example(space: SearchSpace, kind: str) -> Kernel:
    """The kernel of a kind with the most different parts: the one with the longest key, of a small
    size."""
    kernels = [k for k in reachable_kernels(space) if k.kind == kind]
    return min(kernels, key=lambda k: (-len(k.key), k.macs, k.key))


def operators(data: bytes) -> Counter[Any]:
    """The operators of a model, each with the types and shapes of what it reads and writes."""
    model = unpacked(data)
    graph = model.subgraphs[0]

    def seen(index: int) -> Any:
        if index < 0:
            return None
        tensor = graph.tensors[index]
        shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
        scales = None if tensor.quantization is None else tensor.quantization.scale
        channels = 0 if scales is None else len(scales)
        return TYPES[tensor.type], shape, channels

    found: Counter[Any] = Counter()
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        found[name, tuple(map(seen, operator.inputs)), tuple(map(seen, operator.outputs))] += 1
    return found


def quantised(kernels: tuple[Kernel, ...], precision: str) -> bytes:
    """The float32 model of the kernels, taken to a precision by the quantiser."""
    rng, shape = np.random.default_rng(0), input_shape(kernels[0])
    inputs = [rng.standard_normal(shape, dtype=np.float32) for _ in range(LEAST_IMAGES)]
    return in_precision(kernel_model(kernels), precision, inputs)


def output(data: bytes) -> np.ndarray:
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]
    shape = tuple(entry["shape"])
    value = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
    interpreter.set_tensor(entry["index"], value)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


@pytest.mark.parametrize("precision", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_is_written_as_the_quantiser_would_make_it(kind: str, precision: str) -> None:
    for space in (TINY, MOBILE):
        kernel = example(space, kind)
        written = kernel_models_in(precision)([kernel])
        expected = quantised((kernel,), precision)
        assert operators(written) == operators(expected), kernel.key
        check_precision(kernel_model([kernel]), written, precision)
        if precision != "int8-full":  # whose ranges are of no images
            np.testing.assert_array_equal(output(written), output(expected))


@pytest.mark.parametrize("precision", OTHERS)
def test_strips_of_a_kernel_share_their_weights(precision: str) -> None:
    kernel = MBConv(65, 16, 16, 4, 3, 2, 0)
    written, expected = kernel_models_in(precision)([kernel]), quantised((kernel,), precision)
    assert operators(written) == operators(expected)
    assert delegation(written).whole
    assert len(written) < 1.1 * len(expected)


@pytest.mark.parametrize("precision", OTHERS)
def test_a_subnet_is_one_partition_in_each_precision(precision: str) -> None:
    kernels = lower(TINY.smallest, TINY.layout)
    written = kernel_models_in(precision)(kernels)
    assert operators(written) == operators(quantised(kernels, precision))
    assert delegation(written).partitions == delegation(kernel_model(kernels)).partitions
    assert np.isfinite(output(written)).all()


def test_the_types_of_the_weights_are_those_of_the_precision() -> None:
    kernel = example(TINY, "ffn")
    types = {p: set(tensor_types(kernel_models_in(p)([kernel]))) for p in PRECISIONS}
    assert types == {
        "fp32": {"FLOAT32", "INT32"},
        "fp16": {"FLOAT32", "INT32", "FLOAT16"},
        "int8": {"FLOAT32", "INT32", "INT8"},
        "int8-full": {"FLOAT32", "INT32", "INT8"},
    }
    names = {entry.name for entry in unpacked(kernel_models_in("fp16")([kernel])).metadata}
    assert names == {b"reduced_precision_support"}
