"""What TFLite files hold, and what memory their tensors need, read from the files themselves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

FLOAT_BYTES = 4
NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items()}


@dataclass
class FileGraph:
    """The graph of a TFLite file with one subgraph.

    Attributes:
        floats: Floats of each tensor, 0 of those that hold integers.
        constant: Whether each tensor is constant.
        operators: Name, inputs and outputs of each operator, in the order in which they run.
        inputs, outputs: Tensors that the graph takes and gives.
    """

    floats: list[int]
    constant: list[bool]
    operators: list[tuple[str, list[int], list[int]]]
    inputs: list[int]
    outputs: list[int]

    @classmethod
    def of(cls, data: bytes) -> FileGraph:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        (graph,) = model.subgraphs
        return cls(
            floats=[
                prod(map(int, t.shape)) * (t.type == schema.TensorType.FLOAT32)
                for t in graph.tensors
            ],
            constant=[model.buffers[t.buffer].data is not None for t in graph.tensors],
            operators=[
                (
                    NAMES[model.operatorCodes[op.opcodeIndex].builtinCode],
                    [int(i) for i in op.inputs if i >= 0],
                    [int(i) for i in op.outputs],
                )
                for op in graph.operators
            ],
            inputs=[int(i) for i in graph.inputs],
            outputs=[int(i) for i in graph.outputs],
        )

    def live_bytes(self, *, keep_inputs: bool) -> int:
        """Largest sum of the tensors that must be kept at once: while an operator runs, what it
        writes and all that it or a later one reads; reshapes are views."""
        view: dict[int, int] = {}
        steps = []
        for name, reads, writes in self.operators:
            read = [view.get(i, i) for i in reads if not self.constant[i]]
            if name == "RESHAPE":
                view[writes[0]] = read[0]
            else:
                steps.append((read, writes))
        ends = {view.get(i, i) for i in self.outputs} | set(self.inputs if keep_inputs else ())
        most = 0
        for at, (_, writes) in enumerate(steps):
            made = {*self.inputs, *(i for _, out in steps[: at + 1] for i in out)}
            needed = ends | {i for read, _ in steps[at:] for i in read} | set(writes)
            most = max(most, sum(self.floats[i] for i in made & needed))
        return FLOAT_BYTES * most


def arena_bytes(data: bytes) -> int:
    """Bytes between the ends of the memory that LiteRT, without delegates, has laid the tensors of
    a file into."""
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    model = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=plain)
    model.allocate_tensors()
    graph, ends = FileGraph.of(data), []
    for index, constant in enumerate(graph.constant):
        if not constant:
            view = model.tensor(index)()
            start = view.__array_interface__["data"][0]
            ends.append((start, start + view.nbytes))
            del view
    return max(end for _, end in ends) - min(start for start, _ in ends)
