"""The graphs that subnets are written as have versions, which go up where they change."""

import hashlib

import pytest
from ai_edge_litert import schema_py_generated as schema

from elasticvit.kernels import lower
from elasticvit.precisions import PRECISIONS
from elasticvit.published import published
from elasticvit.space import MOBILE
from export.flatbuffer import unpacked
from export.graph_versions import GRAPHS
from export.precise_kernels import kernel_models_in

OPERATORS = {n: name for name, n in vars(schema.BuiltinOperator).items() if name[0] != "_"}
PINNED = {
    "fp32": (1, "5d49bfc0f80bb4d5"),
    "fp16": (1, "7c484e078bd480c4"),
    "int8": (2, "1426d1ba9a6bf219"),
    "int8-full": (1, "eb55684b4b2eaafe"),
}


def digest(precision: str) -> str:
    """What the operators of elastic_S1 are, in order, with the types and shapes of all tensors."""
    data = kernel_models_in(precision)(lower(published("elastic_S1"), MOBILE.layout))
    model = unpacked(data)
    graph = model.subgraphs[0]
    found = hashlib.sha256()
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        found.update(OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)].encode())
        for index in (*operator.inputs, *operator.outputs):
            tensor = None if index < 0 else graph.tensors[index]
            shape = () if tensor is None or tensor.shape is None else tensor.shape
            kind = None if tensor is None else int(tensor.type)
            found.update(repr((kind, [int(n) for n in shape])).encode())
    return found.hexdigest()[:16]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_that_change_have_a_new_version(precision: str) -> None:
    assert PINNED[precision] == (GRAPHS[precision], digest(precision)), (
        f"the graphs in {precision} have changed; raise their version in export/graph_versions.py "
        "if they take another time, and pin the new digest here"
    )
