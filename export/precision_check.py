"""Reads back from a TFLite file what precision it has.

Quantisers leave an operator in float32 without a word, and an operator that the CPU delegate does
not have in 8 bits splits the model. Both are found in the file, not in what was asked of the
quantiser.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from elasticvit.errors import ExportError
from elasticvit.precisions import FP16, INT8, INT8_FULL
from export.flatbuffer import TENSOR_TYPES, unpacked
from export.float_layers import stays_float
from export.inspect import Delegation, delegation, operator_name

_UNQUANTISED = ("FLOAT32", "INT32", "INT64", "BOOL")  # the integers are shapes and axes
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_WEIGHT_TYPES = {FP16: "FLOAT16", INT8: "INT8", INT8_FULL: "INT8"}
_FINEST = 256  # XNNPACK's own limit


def tensor_types(data: bytes) -> dict[str, int]:
    """Number of tensors of each type, such as `FLOAT32`, the most frequent first.

    Raises:
        ExportError: The data is no TFLite flatbuffer.
    """
    graphs = unpacked(data).subgraphs
    types = Counter(TENSOR_TYPES[tensor.type] for graph in graphs for tensor in graph.tensors)
    return dict(types.most_common())


def check_float(data: bytes) -> None:
    """Check that a model is not quantised yet.

    Raises:
        ExportError: It has tensors of another type than float32, or is no TFLite file.
    """
    found = [name for name in tensor_types(data) if name not in _UNQUANTISED]
    if found:
        raise ExportError(
            f"the model is quantised already: it holds tensors of type {', '.join(found)}; take "
            "the float32 model",
            settings=["precision"],
        )


def check_precision(before: bytes, after: bytes, precision: str) -> None:
    """Check that a quantised model is what it was to become.

    Args:
        before: The float32 TFLite file.
        after: The quantised one.
        precision: The precision that was asked for, not `fp32`.

    Raises:
        ExportError: An operator with weights stayed float, input or outputs are no longer float32,
            or the CPU delegate takes the model in more pieces than before; operators are named.
    """
    model = unpacked(after)
    stayed = list(_not_in(model, precision))
    if stayed:
        raise ExportError(
            f"precision {precision}: {_some(stayed)} stayed float32 in the file; try precision "
            "fp16, or another format",
            settings=["precision", "format"],
        )
    graph = model.subgraphs[0]
    for index in (*graph.inputs, *graph.outputs):
        kind = TENSOR_TYPES[graph.tensors[index].type]
        if kind != "FLOAT32":
            raise ExportError(
                f"precision {precision}: the quantiser made {_name(graph.tensors[index])}, an "
                f"input or output of the model, {kind}; it must stay FLOAT32",
                settings=["precision"],
            )
    _check_steps(model, precision)
    _check_delegation(delegation(before), delegation(after), precision)


def _not_in(model: Any, precision: str) -> Iterator[str]:
    """The operators with weights that a precision does not reach, by name and output."""
    wanted = _WEIGHT_TYPES[precision]
    for graph in model.subgraphs:
        sources = {int(t): op for op in graph.operators for t in op.outputs}
        for operator in graph.operators:
            name = operator_name(model, operator)
            if name not in _WEIGHTED:
                continue
            if precision == INT8 and stays_float(name, graph.tensors[operator.inputs[1]].shape):
                continue
            kinds = [_stored_type(model, graph, sources, operator.inputs[1])]
            if precision == INT8_FULL:  # the activations as well
                tensors = (operator.inputs[0], operator.outputs[0])
                kinds += [TENSOR_TYPES[graph.tensors[index].type] for index in tensors]
            if any(kind not in (wanted, None) for kind in kinds):
                yield f"{name} {_name(graph.tensors[operator.outputs[0]])}"


def _stored_type(model: Any, graph: Any, sources: dict[int, Any], index: int) -> str | None:
    """Type that weights are stored in; None if they are computed by the model itself."""
    source = sources.get(int(index))
    if source is not None and operator_name(model, source) == "DEQUANTIZE":
        index = source.inputs[0]
    tensor = graph.tensors[index]
    return None if model.buffers[tensor.buffer].data is None else TENSOR_TYPES[tensor.type]


def _check_steps(model: Any, precision: str) -> None:
    """Check that XNNPACK can bring the sums of each 8-bit layer to the output's steps: it crashes
    where these are finer by more than `_FINEST`.

    Raises:
        ExportError: It cannot; the operator is named.
    """
    graph = model.subgraphs[0]
    for operator in graph.operators:
        if operator_name(model, operator) not in _WEIGHTED:
            continue
        tensors = [*operator.inputs[:2], operator.outputs[0]]
        scales = [_scale(graph.tensors[index]) for index in tensors]
        if None in scales:
            continue
        given, weights, found = (float(scale) for scale in scales if scale is not None)
        if not given * weights < _FINEST * found:
            raise ExportError(
                f"precision {precision}: the output {_name(graph.tensors[operator.outputs[0]])} of "
                f"a {operator_name(model, operator)} has steps of {found:.2g}, too fine for sums "
                f"in steps of {given * weights:.2g}; try precision int8",
                settings=["precision"],
            )


def _scale(tensor: Any) -> float | None:
    """The coarsest step of a quantised tensor; None if it is not quantised."""
    found = None if tensor.quantization is None else tensor.quantization.scale
    return None if found is None or len(found) == 0 else float(max(found))


def _check_delegation(before: Delegation, after: Delegation, precision: str) -> None:
    fell_out = Counter(after.left) - Counter(before.left)
    if fell_out:
        named = ", ".join(f"{count} {name}" for name, count in fell_out.most_common())
        raise ExportError(
            f"precision {precision}: the CPU delegate no longer takes {named}, so that the model "
            f"falls into {after.partitions} partitions instead of {before.partitions}; try "
            "precision fp16, or another format",
            settings=["precision", "format"],
        )
    if after.partitions > max(1, before.partitions):
        raise ExportError(
            f"precision {precision}: the CPU delegate takes the model in {after.partitions} "
            f"partitions instead of {before.partitions}; try precision fp16, or another format",
            settings=["precision", "format"],
        )


def _name(tensor: Any) -> str:
    return repr((tensor.name or b"").decode(errors="replace"))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
