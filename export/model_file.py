"""What a TFLite file says of itself: size, inputs, types of its weights, operators, and
multiply-accumulates counted from the shapes."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from elasticvit.errors import ExportError
from export.flatbuffer import FILE_IDENTIFIER, TENSOR_TYPES, unpacked
from export.inspect import Operator, operators

DYNAMIC = -1  # a dimension that the file leaves open


@dataclass(frozen=True, kw_only=True)
class ModelInput:
    """An input of a model.

    Attributes:
        name: Its name in the file.
        dtype: Type of its values, such as `float32`.
        shape: Its shape; -1 where the file leaves a dimension open.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def runs_at(self) -> tuple[int, ...]:
        """The shape that the runtime gives it unless told otherwise: open dimensions are 1."""
        return tuple(1 if n == DYNAMIC else n for n in self.shape)

    @property
    def text(self) -> str:
        """Type and shape, such as `float32 1x224x224x3`, with `?` for an open dimension."""
        return f"{self.dtype} {'x'.join('?' if n == DYNAMIC else str(n) for n in self.shape)}"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a TFLite file says of itself.

    Attributes:
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        inputs: Its inputs.
        operators: Number of each operator, by name, the most frequent first.
        macs_m: Multiply-accumulates in millions, counted from the shapes of `COUNTED`; open
            dimensions count as 1.
        weights: Bytes of the constant tensors by their type, the largest first.
        subgraphs: Number of subgraphs; the first one is what runs.
    """

    bytes: int
    sha256: str
    inputs: tuple[ModelInput, ...]
    operators: dict[str, int]
    macs_m: float
    weights: dict[str, int]
    subgraphs: int

    @property
    def weight_type(self) -> str:
        """The type of most bytes of the weights; empty if there are none."""
        return next(iter(self.weights), "")


def model_facts(data: bytes) -> ModelFacts:
    """What a TFLite file says of itself.

    Raises:
        ExportError: It is no TFLite flatbuffer, or a damaged one.
    """
    if data[4:8] != FILE_IDENTIFIER:
        begins = data[:8].hex(" ") or "nothing"
        raise ExportError(
            f"not a TFLite model: it begins with {begins}, and the identifier TFL3 is missing"
        )
    try:
        model = unpacked(data)
        graph, found = model.subgraphs[0], operators(data)
        return ModelFacts(
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            inputs=tuple(_input(graph.tensors[i]) for i in _indices(graph.inputs)),
            operators=dict(Counter(op.name for op in found).most_common()),
            macs_m=sum(_macs(op) for op in found) / 1e6,
            weights=_weights(model, graph),
            subgraphs=len(model.subgraphs),
        )
    except Exception as error:  # whatever the reader of flatbuffers runs into
        raise ExportError(
            f"a damaged TFLite model ({type(error).__name__}: {error}); copy or export it again"
        ) from error


def _indices(values: Any) -> list[int]:
    return [] if values is None else [int(i) for i in values]


def _input(tensor: Any) -> ModelInput:
    signature = _indices(tensor.shapeSignature) or _indices(tensor.shape)
    name = tensor.name.decode(errors="replace") if tensor.name else ""
    return ModelInput(name=name, dtype=TENSOR_TYPES[tensor.type].lower(), shape=tuple(signature))


def _weights(model: Any, graph: Any) -> dict[str, int]:
    """Bytes of the constant tensors by type; a buffer that several tensors share counts once."""
    counts: Counter[str] = Counter()
    buffers = {tensor.buffer: TENSOR_TYPES[tensor.type].lower() for tensor in graph.tensors}
    for number, name in buffers.items():
        content = model.buffers[number].data
        if content is not None and len(content):
            counts[name] += len(content)
    return dict(counts.most_common())


def _macs(operator: Operator) -> int:
    count = COUNTED.get(operator.name)
    return 0 if count is None else count(operator)


def _shape(operator: Operator, place: int) -> tuple[int, ...]:
    given = operator.inputs[place]
    assert given is not None
    return given[0]


def _convolution(operator: Operator) -> int:
    """Weights (outputs, height, width, inputs of a group)."""
    return math.prod(operator.outputs[0]) * math.prod(_shape(operator, 1)[1:])


def _depthwise(operator: Operator) -> int:
    """Weights (1, height, width, outputs)."""
    return math.prod(operator.outputs[0]) * math.prod(_shape(operator, 1)[1:3])


def _fully_connected(operator: Operator) -> int:
    """Weights (outputs, inputs)."""
    return math.prod(operator.outputs[0]) * _shape(operator, 1)[-1]


def _matrices(operator: Operator) -> int:
    """Factors (..., rows, columns); the first may be transposed."""
    transposed = dict(operator.options).get("adjX", False)
    return math.prod(operator.outputs[0]) * _shape(operator, 0)[-2 if transposed else -1]


# the operators whose multiply-accumulates are counted
COUNTED: dict[str, Callable[[Operator], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matrices,
}
