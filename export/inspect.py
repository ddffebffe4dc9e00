"""Reads a TFLite file: its operators, and which of them the CPU delegate takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from export.flatbuffer import unpacked

_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Operator:
    """One operator of a model.

    Attributes:
        name: Name of the builtin operator, such as `CONV_2D`; `CUSTOM` for any other.
        inputs: Shape of every input and whether it is constant; None for one that is left out.
        outputs: Shape of every output.
        options: Options that differ from the defaults of the schema, by name.
    """

    name: str
    inputs: tuple[tuple[tuple[int, ...], bool] | None, ...]
    outputs: tuple[tuple[int, ...], ...]
    options: tuple[tuple[str, Any], ...]


def operators(data: bytes) -> tuple[Operator, ...]:
    """The operators of a TFLite flatbuffer in the order in which they run: those of its first
    subgraph, which is what runs unless another one is asked for.

    Raises:
        ExportError: The data is no TFLite flatbuffer.
    """
    model = unpacked(data)
    graph = model.subgraphs[0]

    def shape(index: int) -> tuple[int, ...]:
        found = graph.tensors[index].shape
        return () if found is None else tuple(int(n) for n in found)

    def constant(index: int) -> bool:
        content = model.buffers[graph.tensors[index].buffer].data
        return content is not None and len(content) > 0

    result = []
    for operator in graph.operators:
        result.append(
            Operator(
                operator_name(model, operator),
                tuple(None if i < 0 else (shape(i), constant(i)) for i in _some(operator.inputs)),
                tuple(shape(i) for i in _some(operator.outputs)),
                _options(operator.builtinOptions),
            )
        )
    return tuple(result)


def operator_name(model: Any, operator: Any) -> str:
    """Name of the builtin operator, such as `CONV_2D`, of an operator of the schema's object."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _NAMES.get(number, f"BUILTIN_{number}")  # of a later schema than this library's


def _some(indices: Any) -> Any:
    return () if indices is None else indices


def _options(options: Any) -> tuple[tuple[str, Any], ...]:
    if options is None:
        return ()
    default = vars(type(options)())
    given = {k: v for k, v in vars(options).items() if not hasattr(v, "tolist")}
    return tuple(sorted((k, v) for k, v in given.items() if v != default[k]))


def operator_counts(data: bytes) -> dict[str, int]:
    """Number of times that each operator occurs, the most frequent first.

    Raises:
        ExportError: The data is no TFLite flatbuffer.
    """
    return dict(Counter(op.name for op in operators(data)).most_common())


@dataclass(frozen=True)
class Delegation:
    """How the CPU delegate (XNNPACK) took a model.

    Attributes:
        partitions: Number of delegated pieces; 1 is best, since no tensor is then handed over
            between the delegate and the reference kernels.
        left: Number of operators that stay with the slower reference kernels, by name.
    """

    partitions: int
    left: dict[str, int]

    @property
    def whole(self) -> bool:
        """Whether the delegate took all operators in one piece."""
        return self.partitions == 1 and not self.left


def delegation(data: bytes) -> Delegation:
    """What this machine's LiteRT hands to XNNPACK of a model."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    plan = interpreter._get_ops_details()
    delegates = [op for op in plan if op["op_name"] == _DELEGATE]
    plain = [op for op in plan if op["op_name"] != _DELEGATE]
    producer = {int(t): op["index"] for op in plain for t in op["outputs"]}
    sources = {op["index"]: [int(t) for t in op["inputs"] if t >= 0] for op in plain}
    taken: set[int] = set()
    for delegate in delegates:  # its operators lie between its outputs and its inputs
        entries = {int(t) for t in delegate["inputs"]}
        pending = [int(t) for t in delegate["outputs"]]
        while pending:
            tensor = pending.pop()
            if tensor in producer and tensor not in entries and producer[tensor] not in taken:
                taken.add(producer[tensor])
                pending += sources[producer[tensor]]
    left = Counter(op["op_name"] for op in plain if op["index"] not in taken)
    return Delegation(len(delegates), dict(left.most_common()))
