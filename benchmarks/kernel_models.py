"""Kernel models: written directly against converted, in time to make and time to run.

    python benchmarks/kernel_models.py [--kernels-per-kind 3]

One JSON line. Random kernels of the `mobile` space, the same weights for both ways, made and
timed in turns in this process. The converter's first call, which loads its libraries, is not
counted. `latency_ratio` is direct over converted, median over kernels; its two files hold the
same operators, so it shows the noise of the machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from elasticvit.kernels import KINDS, Kernel, lower
from elasticvit.nn import build_block
from elasticvit.nn.fuse import fused
from elasticvit.space import MOBILE
from export.inspect import operators
from export.kernel_models import from_arrays, input_shape, kernel_model, network_model
from export.litert import convert_kernel

RUN_ROUNDS, RUN_ROUND_S = 7, 0.05


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernels-per-kind", type=int, default=3)
    per_kind = parser.parse_args().kernels_per_kind
    kernels = pick(per_kind, np.random.default_rng(0))
    warm = kernels[0]
    kernel_model([warm])
    convert_kernel(warm, build_block(warm).eval())

    direct_ms: dict[str, list[float]] = defaultdict(list)
    converter_ms: dict[str, list[float]] = defaultdict(list)
    latency: dict[str, list[float]] = defaultdict(list)
    worst_diff, same_operators = 0.0, 0
    for kernel in kernels:
        start = time.perf_counter()
        kernel_model([kernel])
        direct_ms[kernel.kind].append(1e3 * (time.perf_counter() - start))
        block = with_random_weights(build_block(kernel))
        start = time.perf_counter()
        converted = convert_kernel(kernel, block)
        converter_ms[kernel.kind].append(1e3 * (time.perf_counter() - start))
        arrays = {name: value.numpy() for name, value in fused(block).state_dict().items()}
        direct = network_model([(kernel, from_arrays(arrays))])
        same_operators += operators(direct) == operators(converted)
        (a, b), diff = run(direct, converted, input_shape(kernel))
        worst_diff = max(worst_diff, diff)
        latency[kernel.kind].append(a / b)
        print(
            f"{kernel.key}: made in {direct_ms[kernel.kind][-1]:.1f} against "
            f"{converter_ms[kernel.kind][-1]:.0f} ms, runs {a:.4f} against {b:.4f} ms",
            file=sys.stderr,
        )

    def medians(values: dict[str, list[float]], digits: int) -> dict[str, float]:
        return {kind: round(statistics.median(v), digits) for kind, v in values.items()}

    everything = [v for group in direct_ms.values() for v in group]
    converter = [v for group in converter_ms.values() for v in group]
    result: dict[str, Any] = {
        "benchmark": "kernel_models",
        "space": MOBILE.name,
        "kernels": len(kernels),
        "direct_ms": round(statistics.median(everything), 2),
        "direct_ms_worst": round(max(everything), 2),
        "converter_ms": round(statistics.median(converter), 1),
        "converter_over_direct": round(sum(converter) / sum(everything), 1),
        "direct_ms_by_kind": medians(direct_ms, 2),
        "converter_ms_by_kind": medians(converter_ms, 0),
        "same_operators": same_operators,
        "max_abs_diff": worst_diff,
        "latency_ratio": round(statistics.median(v for g in latency.values() for v in g), 4),
        "latency_ratio_by_kind": medians(latency, 4),
        "cores": 1,
    }
    print(json.dumps(result))


def pick(per_kind: int, rng: np.random.Generator) -> list[Kernel]:
    """Random kernels of random architectures, as many of each kind, without repeats."""
    found: dict[str, set[Kernel]] = {kind: set() for kind in KINDS}
    for arch in MOBILE.sample(200, rng):
        for kernel in lower(arch, MOBILE.layout):
            found[kernel.kind].add(kernel)
    chosen = []
    for group in found.values():
        ordered = sorted(group)
        rows = rng.choice(len(ordered), size=min(per_kind, len(ordered)), replace=False)
        chosen += [ordered[i] for i in rows]
    return chosen


def with_random_weights(block: nn.Module) -> nn.Module:
    """The block with batch norms, biases and position bias that are not their initial zeros
    and ones, which the converter would drop."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*block.named_parameters(), *block.named_buffers()]:
            noise = torch.rand(value.shape, generator=generator)
            value.copy_(noise + 0.5 if "var" in name or value.dim() == 1 else (noise - 0.5) / 4)
    return block.eval()


def run(first: bytes, second: bytes, shape: tuple[int, ...]) -> tuple[tuple[float, float], float]:
    """Milliseconds of both models, in turns, and the largest difference of their outputs."""
    models = [Interpreter(model_content=data, num_threads=1) for data in (first, second)]
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    outputs = []
    for model in models:
        model.allocate_tensors()
        model.set_tensor(model.get_input_details()[0]["index"], x)
        model.invoke()
        outputs.append(model.get_tensor(model.get_output_details()[0]["index"]))
    best = [np.inf, np.inf]
    for _ in range(RUN_ROUNDS):
        for i, model in enumerate(models):
            samples = []
            end = time.perf_counter() + RUN_ROUND_S
            while time.perf_counter() < end:
                start = time.perf_counter()
                model.invoke()
                samples.append(time.perf_counter() - start)
            best[i] = min(best[i], float(np.quantile(samples, 0.05)))
    return (1e3 * best[0], 1e3 * best[1]), float(np.abs(outputs[0] - outputs[1]).max())


if __name__ == "__main__":
    main()
