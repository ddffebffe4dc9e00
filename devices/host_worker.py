"""The process that runs models on this computer: `python -m devices.host_worker`.

It reads jobs from standard input and answers on standard output, one message each (see
`devices.framing`), and ends when its input ends. It holds one interpreter at a time. The
clock is around `invoke` alone: reading the model, creating the interpreter, packing weights,
planning memory, setting inputs and the warm-up are outside.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import resource
import signal
import sys
import time
from collections import deque
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from devices.framing import LinkClosed, read_message, write_message
from devices.host_facts import conditions, peak_bytes, reset_peak_bytes

NICE = -10  # where permitted: other programs then rarely interrupt a run
REALTIME = 1  # where permitted, the lowest real-time priority: they interrupt none at all
GAUGE_RUNS, GAUGE_MS = 2, 3.0  # at least, each time that a gauge is read
GAUGE_EVERY_MS = 20.0  # of a model's runs, between two readings: slow and fast moments are short
GAUGE_COPIES = 3
PATIENCE = 4  # a round is prolonged to at most this many times `min_runs` by interrupted runs


def load_interpreter() -> tuple[Any, str]:
    """The interpreter's class, and the runtime's name with its version.

    Raises:
        ImportError: no runtime is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, f"LiteRT {version('ai-edge-litert')} (XNNPACK)"
    except (ImportError, PackageNotFoundError) as first:
        try:
            from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found]
        except ImportError:
            raise first from None
        return Interpreter, f"TensorFlow Lite {version('tflite-runtime')} (XNNPACK)"


def library_hash(package: str) -> str:
    """sha256 of the largest shared library that was loaded from a package's folder."""
    folder = str(Path(sys.modules[package].__file__ or "").resolve().parent)
    maps = Path("/proc/self/maps").read_text().splitlines()
    loaded = {line.split(maxsplit=5)[5] for line in maps if len(line.split(maxsplit=5)) == 6}
    libraries = [Path(path) for path in loaded if path.startswith(folder) and ".so" in path]
    largest = max(libraries, key=lambda path: path.stat().st_size)
    return hashlib.sha256(largest.read_bytes()).hexdigest()


def fill_inputs(interpreter: Any) -> None:
    """Set every input to fixed random values of its type."""
    rng = np.random.default_rng(0)
    for tensor in interpreter.get_input_details():
        shape, dtype = tensor["shape"], np.dtype(tensor["dtype"])
        if dtype.kind == "f":
            value = rng.standard_normal(shape).astype(dtype)
        elif dtype.kind == "b":
            value = rng.integers(0, 2, shape).astype(dtype)
        else:
            low, high = (0, 127) if dtype.kind == "i" else (0, 255)
            value = rng.integers(low, high, shape).astype(dtype)
        interpreter.set_tensor(tensor["index"], value)


def ready(interpreter_class: Any, data: bytes, job: dict[str, Any]) -> Any:
    """An interpreter of a model with its inputs set, on the job's cores."""
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])  # before the runtime makes threads: they inherit it
    interpreter = interpreter_class(model_content=data, num_threads=job["threads"])
    interpreter.allocate_tensors()
    fill_inputs(interpreter)
    return interpreter


class Gauges:
    """Models that stay loaded and are run around each timed model.

    On a shared machine neighbours slow everything down for seconds or minutes, in a way that
    shows only in how long a known model takes. How fast a small model is depends on where its
    memory happens to lie, too: each gauge is loaded several times, and its oldest copy replaced
    before every timed model, so that no such chance lasts.
    """

    def __init__(self, interpreter_class: Any) -> None:
        self._class = interpreter_class
        self._data: dict[str, bytes] = {}
        self._copies: dict[str, deque[Any]] = {}
        self._runs_us: dict[str, list[float]] = {}

    def load(self, key: str, data: bytes, job: dict[str, Any]) -> None:
        """Keep a gauge, in place of an earlier one of its name.

        Raises:
            Exception: whatever the runtime raises when it refuses the gauge.
        """
        copies = [ready(self._class, data, job) for _ in range(GAUGE_COPIES)]
        self._data[key], self._copies[key] = data, deque(copies, maxlen=GAUGE_COPIES)

    def begin(self, job: dict[str, Any]) -> None:
        """Forget earlier readings, and read the job's gauges from now on."""
        self._runs_us = {key: [] for key in job["gauges"]}
        for key in self._runs_us:
            self._copies[key].append(ready(self._class, self._data[key], job))

    def read(self) -> None:
        """Run each gauge: once to have it in the caches, then with the clock."""
        for key, runs_us in self._runs_us.items():
            self._copies[key].rotate()
            invoke = self._copies[key][0].invoke
            invoke()
            used_us, count = 0.0, 0
            while count < GAUGE_RUNS or used_us < 1e3 * GAUGE_MS:
                start = time.perf_counter_ns()
                invoke()
                runs_us.append((time.perf_counter_ns() - start) / 1e3)
                used_us, count = used_us + runs_us[-1], count + 1

    def runs_us(self) -> dict[str, list[float]]:
        """The runs of each gauge since `begin`."""
        return self._runs_us


def time_model(
    interpreter_class: Any, data: bytes, job: dict[str, Any], gauges: Gauges
) -> dict[str, Any]:
    """Run one round of a model and answer with its raw samples and conditions."""
    cores = job["cores"]
    knows_peak = reset_peak_bytes()
    gauges.begin(job)
    interpreter = ready(interpreter_class, data, job)
    before = conditions(cores)
    gauges.read()
    started_s = time.time()
    invoke, clock = interpreter.invoke, time.perf_counter_ns
    for _ in range(job["warmup_runs"]):
        invoke()
    samples_ns: list[int] = []
    used_ns = interrupted = gauged_ns = 0
    min_runs, max_runs, min_ns = job["min_runs"], job["max_runs"], job["min_ms"] * 1e6
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    while len(samples_ns) < max_runs:
        if job["gauges"] and used_ns - gauged_ns > 1e6 * GAUGE_EVERY_MS:
            gauges.read()
            gauged_ns = used_ns
            invoke()  # the gauges have taken its place in the caches
            switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        start = clock()
        invoke()
        took_ns = clock() - start
        samples_ns.append(took_ns)
        used_ns += took_ns
        now = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
        interrupted += now != switches
        switches = now
        count = len(samples_ns)
        # Interrupted runs stay in the samples, but they do not count towards `min_runs`.
        enough = count - interrupted >= min_runs or count >= PATIENCE * min_runs
        if enough and count >= min_runs and used_ns >= min_ns:
            break
    gauges.read()
    return {
        "samples_us": [ns / 1e3 for ns in samples_ns],
        "interrupted": interrupted,
        "before": asdict(before),
        "after": asdict(conditions(cores)),
        "time_s": started_s,
        "peak_bytes": peak_bytes() if knows_peak else None,
        "gauges_us": gauges.runs_us(),
    }


def take_precedence() -> None:
    """Put this process before others as far as the system permits.

    Eight busy programs on two cores: a 10 ms model then takes 11 ms, and otherwise 21 ms in the
    fastest of 40 runs. The system still gives others a share of every second.
    """
    with contextlib.suppress(AttributeError, OSError):  # not on Linux, or not permitted
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME))


def is_realtime() -> bool:
    """Whether other programs cannot interrupt this process."""
    return hasattr(os, "SCHED_FIFO") and os.sched_getscheduler(0) == os.SCHED_FIFO


def main() -> None:
    """Serve jobs until standard input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # the runtime prints to standard output; the answers have their own pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    take_precedence()
    try:
        interpreter_class, runtime = load_interpreter()
    except ImportError as error:
        write_message(answers, {"error": str(error)})
        return
    write_message(
        answers,
        {
            "runtime": runtime,
            "runtime_hash": library_hash(interpreter_class.__module__.partition(".")[0]),
            "nice": os.getpriority(os.PRIO_PROCESS, 0),
            "realtime": is_realtime(),
        },
    )
    gc.freeze()
    gc.disable()
    gauges = Gauges(interpreter_class)
    while True:
        try:
            job, data = read_message(0)
        except LinkClosed:
            return
        # A worker whose parent was killed while a model hangs ends by itself.
        signal.alarm(int(job["timeout_s"]) + 30)
        try:
            if "gauge" in job:
                gauges.load(job["gauge"], data, job)
                answer = {}
            else:
                answer = time_model(interpreter_class, data, job, gauges)
        except Exception as error:
            answer = {"rejected": f"{type(error).__name__}: {error}"}
        signal.alarm(0)
        del data
        gc.collect()
        write_message(answers, answer)


if __name__ == "__main__":
    main()
