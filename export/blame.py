"""Which module of a network a converter refuses, found out after it has failed.

A converter traces the network first. What fails there is raised inside the module that is to
blame. What fails later is an operator of the traced graph, which the error names and whose origin
the graph knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.errors import ExportError
from export.quiet import converting

OPERATOR = re.compile(r"While executing %(?P<name>\w+) .*?target=torch\.ops\.(?P<target>[\w.]+)")


def blamed_module(network: nn.Module, example: Tensor, error: BaseException | None) -> str:
    """Which part of a network a converter failed at, in words; empty if it cannot be told.

    Args:
        network: The network that was converted, in evaluation mode.
        example: Its input.
        error: What the converter raised.
    """
    with _watched(network) as raised:
        try:
            with converting("tracing"):
                program = torch.export.export(network, (example,), strict=False)
        except ExportError:
            return f"in module {raised[0]}" if raised else ""
    found = OPERATOR.search(str(error))
    if found is None:
        return ""
    name, target = found["name"], found["target"]
    for graph in _graphs(program):
        for node in graph.nodes:
            if node.op == "call_function" and target == _target(node) and node.name == name:
                return _origin(target, node)
    for graph in _graphs(program):
        for node in graph.nodes:
            if node.op == "call_function" and target == _target(node):
                return _origin(target, node)
    return f"at operator {target}"


@contextmanager
def _watched(network: nn.Module) -> Iterator[list[str]]:
    """While the context lasts, the module in which an error is raised is noted, innermost first."""
    raised: list[str] = []

    def watch(name: str, module: nn.Module) -> Callable[..., Any]:
        forward = module.forward

        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return forward(*args, **kwargs)
            except Exception:
                raised.append(f"{name} ({type(module).__name__})")
                raise

        return watched

    own = [(name or "the whole", m) for name, m in network.named_modules()]
    for name, module in own:
        module.forward = watch(name, module)
    try:
        yield raised
    finally:
        for _, module in own:
            vars(module).pop("forward", None)


def _graphs(program: Any) -> Iterator[Any]:
    """The graph as it was traced, and in simpler operators."""
    yield program.graph
    try:
        with converting("decomposing"):
            simpler = program.run_decompositions()
    except ExportError:
        return
    yield simpler.graph


def _target(node: Any) -> str:
    return str(node.target)


def _origin(target: str, node: Any) -> str:
    """Operator and module of a node."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return f"at operator {target}"
    path, kind = stack[-1]
    kind = str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]
    return f"at operator {target} in module {path or 'the whole'} ({kind})"
