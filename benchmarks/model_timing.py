"""Repeatability of a model's latency: `evit-profile --model` against LiteRT's plain loop.

    python benchmarks/model_timing.py [--repeats 6]

One JSON line. Two models are timed again and again in one run, in turns: by a session of
`evit-profile --model` (one of the two models is in it twice, under two names); by the loop that a
script has, or TensorFlow's `benchmark_model` with its defaults: a new interpreter, warm-up, then
the median of at least 50 runs and one second; and by that loop in the session's worker process, so
that what its priority brings can be told from what rounds and calibration bring.
`spread_pct` is the standard deviation of the repeated estimates over their mean, of the
latency of each model and of the ratio of the two; `range_pct` is the largest over the smallest.
`twice` is what the session says of the ratio of a model to itself, whose truth is 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from devices import Measurement, TimedModel, TimingConfig, open_device
from elasticvit.find import find_arch
from elasticvit.flows.compare import compare
from elasticvit.kernels import lower
from elasticvit.space import MOBILE
from export.kernel_models import kernel_model

NAMES = ("elastic_T1", "elastic_S1")
WARMUP_S, LEAST_RUNS, LEAST_S = 0.5, 50, 1.0  # as `benchmark_model`'s defaults
WAYS = ("session", "loop", "loop_in_worker")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=6)
    repeats = parser.parse_args().repeats
    data = {name: kernel_model(lower(find_arch(name, MOBILE), MOBILE.layout)) for name in NAMES}
    ms: dict[str, dict[str, list[float]]] = {w: {name: [] for name in NAMES} for w in WAYS}
    twice: list[tuple[float, float, float]] = []
    holds: list[tuple[float, float, float]] = []
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{name}.tflite") for name in (*NAMES, "again")]
        for path, name in zip(paths, (*NAMES, NAMES[0]), strict=True):
            path.write_bytes(data[name])
        for number in range(repeats):
            start = time.perf_counter()
            found = compare(models=paths, device="host", seed=number, workspace=Path(folder, "ws"))
            seconds["session"].append(time.perf_counter() - start)
            for name in NAMES:
                ms["session"][name].append(found.timing.timings[name].ms)
            itself = found.models[2].ratio
            assert itself is not None
            twice.append((itself.low, itself.value, itself.high))
            first = found.timing.timings[NAMES[0]]
            holds.append((first.low_ms, first.ms, first.high_ms))
            for way, loop in (("loop", plain_loop), ("loop_in_worker", loop_in_worker)):
                start = time.perf_counter()
                for name in NAMES:
                    ms[way][name].append(loop(data[name]))
                seconds[way].append(time.perf_counter() - start)
            print(
                number,
                {w: {n: v[-1] for n, v in by.items()} for w, by in ms.items()},
                file=sys.stderr,
            )
    result: dict[str, Any] = {
        "benchmark": "model_timing",
        "models": list(NAMES),
        "repeats": repeats,
        "source": found.timing.source,
        "runtime": found.timing.runtime,
        "calibration_spread": round(found.timing.calibration_spread or 0.0, 3),
    }
    for way in WAYS:
        values = {name: np.array(ms[way][name]) for name in NAMES}
        values["ratio"] = values[NAMES[1]] / values[NAMES[0]]
        result[way] = {
            "seconds": round(float(np.median(seconds[way])), 1),
            "median": {key: round(float(np.median(v)), 4) for key, v in values.items()},
            "spread_pct": {
                key: round(100 * float(v.std(ddof=1) / v.mean()), 2) for key, v in values.items()
            },
            "range_pct": {
                key: round(100 * float(v.max() / v.min() - 1), 2) for key, v in values.items()
            },
        }
    middle = float(np.median([value for _, value, _ in holds]))
    result["twice"] = {
        "ratio": round(float(np.median([value for _, value, _ in twice])), 4),
        "farthest": round(max(abs(value - 1) for _, value, _ in twice), 4),
        "half_width": round(float(np.median([(high - low) / 2 for low, _, high in twice])), 4),
        "intervals_with_1": sum(low <= 1 <= high for low, _, high in twice),
    }
    result["intervals_with_the_median_of_all"] = sum(
        low <= middle <= high for low, _, high in holds
    )
    print(json.dumps(result))


def plain_loop(data: bytes) -> float:
    """Median of the runs of a new interpreter, in milliseconds."""
    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]
    image = np.random.default_rng(0).standard_normal(given["shape"], dtype=np.float32)
    interpreter.set_tensor(given["index"], image)
    end = time.perf_counter() + WARMUP_S
    while time.perf_counter() < end:
        interpreter.invoke()
    samples: list[float] = []
    begin = time.perf_counter()
    while len(samples) < LEAST_RUNS or time.perf_counter() - begin < LEAST_S:
        start = time.perf_counter()
        interpreter.invoke()
        samples.append(time.perf_counter() - start)
    return 1e3 * float(np.median(samples))


def loop_in_worker(data: bytes) -> float:
    """The same in the process that times models on this computer, which has priority."""
    config = TimingConfig(
        rounds=1, warmup_runs=LEAST_RUNS, min_runs=LEAST_RUNS, max_runs=10**6, min_ms=1e3 * LEAST_S
    )
    with open_device("host") as device:
        (measured,) = device.measure([TimedModel("model", data)], config)
    assert isinstance(measured, Measurement)
    return measured.median_ms


if __name__ == "__main__":
    main()
