"""Formulations of each kernel kind, timed in turns on this computer's XNNPACK, on one thread.

    python benchmarks/formulations.py [--arch elastic_S1] [--kind ffn] [--file NAME=PATH]

One JSON line. Every formulation (`FORMS`) computes a kernel of the architecture with the same
weights by other operators; `today` is what is exported, and `ratio` is its time over today's: the
median of the ratios of neighbouring rounds, with quartiles. Each kernel is timed twice: alone, with
its weights in the cache, and `in_memory`, as in a network: as many copies with weights of their own
as a network has. Where LiteRT lays a model's memory changes its time by several percent, so that
all models are loaded anew, in another order, `--loads` times; `today_again`, the same file once
more, shows what remains. `operators` and `mb_between` (what operators write) hold on any machine.

The whole network is timed as it is exported, without strips (`whole`), and as any other file of it.
Times are of the thread's processor time, which neighbours on the machine disturb least.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from formulations_convolutions import downsample, mbconv
from formulations_graph import WideGraph
from formulations_tokens import attention, attention_groups, ffn, ffn_columns, ffn_parts, head

from elasticvit.arrays import Float32Array
from elasticvit.kernel_tensors import KernelTensors
from elasticvit.kernels import FFN, KINDS, Attention, Downsample, Head, Kernel, MBConv, lower
from elasticvit.published import published
from elasticvit.space import MOBILE
from export.graph import Shape
from export.inspect import operators
from export.kernel_graphs import WRITERS
from export.kernel_models import input_shape, kernel_model, random_weights
from export.layers import Weights

ROUNDS, ROUND_S, IN_MEMORY = 6, 0.003, 40e6
Writer = Callable[[Any, int, Any, Weights], int]

GATED: Mapping[str, Writer] = {
    "average_pool": partial(mbconv, pool="average"),
    "swish_by_products": partial(mbconv, swish="product"),
    "strided_shortcut": partial(mbconv, shortcut="conv"),
}
FORMS: Mapping[type[Kernel], Mapping[str, Writer]] = {
    MBConv: {
        "whole": mbconv,
        **{f"strips_{n}": partial(mbconv, strips=n) for n in (2, 4, 8)},
        "groups_2": partial(mbconv, groups=2),
        **GATED,
    },
    Downsample: {name: partial(downsample, **form.keywords) for name, form in GATED.items()},
    Attention: {
        "norm_axis_kept": attention,
        "norm_folded": partial(attention, norm="folded"),
        "keys_adjoint": partial(attention, keys="adjoint"),
        "keys_by_product": partial(attention, keys="product"),
        "one_qkv_matrix": partial(attention, one_matrix=True),
        "heads_apart": partial(attention, heads_apart=True),
        "head_groups_2": partial(attention_groups, groups=2),
    },
    FFN: {
        "norm_axis_kept": partial(ffn, norm="kept"),
        "norm_squared": partial(ffn, norm="squared"),
        "norm_folded": partial(ffn, norm="folded"),
        "convolutions": partial(ffn, norm="kept", conv=True),
        **{f"groups_{n}": partial(ffn_parts, parts=n) for n in (2, 4, 8)},
        "tokens_in_columns": ffn_columns,
    },
    Head: {"convolutions": partial(head, conv=True), "groups_4": partial(head, parts=4)},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="elastic_S1", help="a published architecture")
    parser.add_argument("--kind", choices=KINDS, help="time kernels of this kind only")
    parser.add_argument("--loads", type=int, default=4, help="times that all models are loaded")
    parser.add_argument(
        "--file", action="append", default=[], help="NAME=PATH of the network's file"
    )
    options = parser.parse_args()
    kernels = lower(published(options.arch), MOBILE.layout)
    found = {}
    for kernel in dict.fromkeys(kernels):
        if type(kernel) in FORMS and options.kind in (None, kernel.kind):
            found[kernel.key] = formulations(kernel, options.loads)
            ratios = {name: figures["ratio"] for name, figures in found[kernel.key].items()}
            print(kernel.key, json.dumps(ratios), file=sys.stderr)
    result: dict[str, Any] = {"benchmark": "formulations", "arch": options.arch, "kernels": found}
    if not options.kind:
        models = {"today": kernel_model(kernels), "whole": network(kernels)}
        models["today_again"] = models["today"]
        models |= {n: Path(p).read_bytes() for n, _, p in (f.partition("=") for f in options.file)}
        result["network"] = compared(models, 3 * options.loads)
    print(json.dumps(result | {"threads": 1}))


def formulations(kernel: Kernel, loads: int) -> dict[str, Any]:
    """Figures of each formulation of a kernel; those that do not apply are left out."""
    copies = max(
        2, math.ceil(IN_MEMORY / 4 / sum(c.values for c in KernelTensors.of(kernel).constants))
    )
    alone, many, differences = {}, {}, {}
    expected = None
    for name, form in {"today": WRITERS[type(kernel)], **FORMS[type(kernel)]}.items():
        if isinstance(kernel, MBConv) and not applies(name, kernel):
            continue
        alone[name] = model(kernel, form, 1)
        many[name] = model(kernel, form, copies if copies < 50 else 1)
        output = run(load(alone[name]))
        expected = output if expected is None else expected
        differences[name] = float(np.abs(output - expected).max() / expected.std())
        assert differences[name] < 1e-4, f"{name} of {kernel.key} computes something else"
    alone["today_again"], many["today_again"] = alone["today"], many["today"]
    result = compared(alone, loads)
    in_memory = compared(many, loads) if copies < 50 else {}
    for name, figures in result.items():
        figures["in_memory"] = in_memory.get(name, {}).get("ratio")
        figures["difference"] = differences.get(name, 0.0)
    return result


def applies(name: str, kernel: MBConv) -> bool:
    """Whether a formulation of the MBConv is another one for this kernel."""
    strided = kernel.stride == 2 and kernel.cin != kernel.cout
    return {
        "groups_2": kernel.expansion > 1 and not kernel.se,
        "average_pool": bool(kernel.se),
        "strided_shortcut": strided,
    }.get(name, True)


def model(kernel: Kernel, form: Writer, copies: int) -> bytes:
    """Copies of a kernel side by side on one input."""
    graph = WideGraph()
    x = graph.input(input_shape(kernel))
    return graph.finish([form(graph, x, kernel, same_weights(kernel, i)) for i in range(copies)])


def network(kernels: Sequence[Kernel]) -> bytes:
    """A network whose kernels are not in strips."""
    graph = WideGraph()
    x = graph.input(input_shape(kernels[0]))
    for i, kernel in enumerate(kernels):
        form: Writer = mbconv if isinstance(kernel, MBConv) else WRITERS[type(kernel)]
        x = form(graph, x, kernel, same_weights(kernel, i))
    return graph.finish([x])


@lru_cache(maxsize=64)
def same_weights(kernel: Kernel, seed: int) -> Weights:
    """Random weights that are the same for all formulations of a kernel."""
    draw, drawn = random_weights(seed), {}

    def get(name: str, shape: Shape) -> Float32Array:
        if name not in drawn:
            drawn[name] = draw(name, shape)
        return drawn[name]

    return get


def compared(models: Mapping[str, bytes], loads: int) -> dict[str, dict[str, Any]]:
    """Time of each model in milliseconds, and its ratio to that of `today` with quartiles."""
    names, rng = list(models), np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(loads):
        loaded = {names[i]: load(models[names[i]]) for i in rng.permutation(len(names))}
        for _ in range(ROUNDS):
            for i in rng.permutation(len(names)):
                times[names[i]].append(milliseconds(loaded[names[i]]))
    result = {}
    for name in names:
        ratio = np.array(times[name]) / np.array(times["today"])
        counts = operators(models[name])
        written = sum(math.prod(s) for op in counts for s in op.outputs if op.name != "RESHAPE")
        result[name] = {
            "ms": round(float(np.median(times[name])), 4),
            "ratio": round(float(np.median(ratio)), 4),
            "quartiles": [round(float(q), 4) for q in np.quantile(ratio, (0.25, 0.75))],
            "operators": len(counts),
            "mb_between": round(4e-6 * written, 3),
        }
    return result


def load(data: bytes) -> Interpreter:
    """A model on one thread with a random input, run once."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    detail = interpreter.get_input_details()[0]
    x = np.random.default_rng(0).standard_normal(detail["shape"], dtype=np.float32)
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return interpreter


def run(interpreter: Interpreter) -> Float32Array:
    """The first output."""
    output: Float32Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return output


def milliseconds(interpreter: Interpreter) -> float:
    """Processor time of a run: the mean of those of a few milliseconds."""
    start, count = time.thread_time(), 0
    while time.thread_time() - start < ROUND_S:
        interpreter.invoke()
        count += 1
    return 1e3 * (time.thread_time() - start) / count


if __name__ == "__main__":
    main()
