"""A process that loads a model's file once and runs it: `python -m export.fresh_process`.

It prints one line of JSON. Only the runtime is imported before the clock starts and the memory is
counted, so that both are the file's. `export.fresh_run` starts it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
WARMUP = 3  # runs after the first that no clock counts
MOST_RUNS = 2000
SEED = 0

Run = Callable[[Any], Any]
Load = Callable[[str, str], Run]


def interpreter() -> Load:
    """TFLite files in LiteRT's interpreter with XNNPACK, on one thread, mapped into memory."""
    from ai_edge_litert.interpreter import Interpreter

    def load(path: str, _: str) -> Run:
        loaded = Interpreter(model_path=path, num_threads=1)
        loaded.allocate_tensors()
        source = loaded.get_input_details()[0]["index"]

        def run(image: Any) -> None:
            loaded.set_tensor(source, image)
            loaded.invoke()

        return run

    return load


def compiled_model() -> Load:
    """TFLite files in LiteRT's compiled model, on one thread, with XNNPACK's packed weights in a
    file that is written if it is not there."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.environment import Environment
    from ai_edge_litert.options import Options

    environment = Environment.create()  # it looks for accelerators, which is not the file's doing

    def load(path: str, cache: str) -> Run:
        options = Options()
        options.cpu_options.num_threads = 1
        options.cpu_options.xnnpack_weight_cache_path = cache
        loaded = CompiledModel.from_file(path, environment=environment, options=options)
        inputs, outputs = loaded.create_input_buffers(0), loaded.create_output_buffers(0)

        def run(image: Any) -> None:
            inputs[0].write(image)
            loaded.run_by_index(0, inputs, outputs)

        return run

    return load


def onnx_session() -> Load:
    """ONNX files in ONNX Runtime, on one thread."""
    import onnxruntime

    def load(path: str, _: str) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        source = session.get_inputs()[0].name
        return lambda image: session.run(None, {source: image})

    return load


def outside() -> Load:
    """Files of another package's format, in its own runtime, whose import counts as loading."""
    from export.backend import find_backend

    return lambda path, name: find_backend(name).load(Path(path).read_bytes())


KINDS: dict[str, Callable[[], Load]] = {
    "tflite": interpreter,
    "cached": compiled_model,
    "onnx": onnx_session,
    "outside": outside,
}


def resident_bytes(field: str) -> int:
    """`VmRSS`, the resident memory of this process, or `VmHWM`, the most that it has been; where
    Linux does not tell, the most that the system tells."""
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{field}:"))


def main(kind: str, path: str, extra: str, shape: str, steady_ms: str) -> None:
    """Load and run a file; see `export.fresh_run.FreshRun` for what is printed."""
    import numpy as np

    load = KINDS[kind]()
    image = np.random.default_rng(SEED).standard_normal([int(n) for n in shape.split(",")])
    image = image.astype(np.float32)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")  # the most that this process has been begins anew
    before = resident_bytes("VmRSS")
    clock = time.perf_counter_ns
    started = clock()
    run = load(path, extra)
    loaded = clock()
    run(image)
    first = clock()
    for _ in range(WARMUP):
        run(image)
    samples: list[int] = []
    left_ns = float(steady_ms) * 1e6
    while not samples or (left_ns > 0 and len(samples) < MOST_RUNS):
        start = clock()
        run(image)
        samples.append(clock() - start)
        left_ns -= samples[-1]
    answer = {
        "load_ms": (loaded - started) / 1e6,
        "first_ms": (first - loaded) / 1e6,
        "samples_us": [ns / 1e3 for ns in samples],
        "baseline_bytes": before,
        "memory_bytes": max(resident_bytes("VmHWM") - before, 0),
    }
    print("\n" + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
