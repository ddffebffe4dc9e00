"""The process that runs models on this computer: `python -m devices.host.worker`.

It reads requests from standard input and answers on standard output, one message each (see
`devices.host.framing`), and ends when its input ends. It holds one interpreter at a time. The
clock is around `invoke` alone: reading the model, creating the interpreter, packing weights,
planning memory, setting inputs and the warm-up are outside.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from devices.host.calibration import EVERY_MS, CalibrationModels
from devices.host.facts import conditions, peak_bytes, reset_peak_bytes, thread_count
from devices.host.framing import PipeClosed, read_message, write_message
from devices.host.runtime import fill_inputs, library_hash, load, load_interpreter

NICE = -10  # if permitted: other programs then rarely interrupt a run
REALTIME = 1  # if permitted, the lowest real-time priority: they then interrupt no run
PATIENCE = 4  # interrupted runs prolong a round to at most this many times `min_runs`


def time_model(
    interpreter_class: Any, data: bytes, request: dict[str, Any], calibration: CalibrationModels
) -> dict[str, Any]:
    """Run one round of a model.

    Args:
        interpreter_class: Class of the runtime's interpreter.
        data: TFLite flatbuffer.
        request: Limits of the round, as in `devices.protocol.TimingConfig`, the cores, and the keys
            of the calibration models.
        calibration: The calibration models that are loaded.

    Returns:
        JSON-ready answer: `samples_us`, number of `interrupted` runs, conditions `before` and
        `after`, `time_s`, `peak_bytes`, `calibration_us`, `load_us`, `first_us` and
        `threads_started`, as in `devices.protocol.Measurement`.
    """
    cores, threads = request["cores"], request["threads"]
    knows_peak = reset_peak_bytes()
    calibration.begin(request["calibration_models"], cores, threads)
    clock, threads_before = time.perf_counter_ns, thread_count()
    load_ns = clock()
    interpreter = load(interpreter_class, data, cores, threads)
    load_ns = clock() - load_ns
    fill_inputs(interpreter)
    before = conditions(cores)
    calibration.read()
    started_s = time.time()
    invoke, first_ns = interpreter.invoke, None
    for _ in range(request["warmup_runs"]):
        start = clock()
        invoke()
        first_ns = clock() - start if first_ns is None else first_ns
    threads_after = thread_count()
    samples_ns: list[int] = []
    used_ns = interrupted = calibrated_ns = 0
    min_runs, max_runs, min_ns = request["min_runs"], request["max_runs"], request["min_ms"] * 1e6
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    while len(samples_ns) < max_runs:
        if request["calibration_models"] and used_ns - calibrated_ns > 1e6 * EVERY_MS:
            calibration.read()
            calibrated_ns = used_ns
            invoke()  # untimed: the calibration models have evicted the model from the caches
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
    calibration.read()
    return {
        "samples_us": [ns / 1e3 for ns in samples_ns],
        "interrupted": interrupted,
        "before": asdict(before),
        "after": asdict(conditions(cores)),
        "time_s": started_s,
        "peak_bytes": peak_bytes() if knows_peak else None,
        "calibration_us": calibration.runs_us(),
        "load_us": load_ns / 1e3,
        "first_us": None if first_ns is None else first_ns / 1e3,
        "threads_started": None
        if threads_before is None or threads_after is None
        else 1 + threads_after - threads_before,
    }


def compute(interpreter_class: Any, data: bytes, request: dict[str, Any]) -> bytes:
    """What a model computes from inputs, one run for each: its first output as float32.

    Args:
        interpreter_class: Class of the runtime's interpreter.
        data: TFLite flatbuffer, then the inputs as float32.
        request: `model`, the size of the flatbuffer in bytes; `inputs`, the shape of the inputs.
    """
    interpreter = load(interpreter_class, data[: request["model"]], (), 1)
    inputs = np.frombuffer(data[request["model"] :], np.float32).reshape(request["inputs"])
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for one in inputs:
        interpreter.set_tensor(source["index"], one[None])
        interpreter.invoke()
        outputs.append(np.asarray(interpreter.get_tensor(target["index"]), np.float32).tobytes())
    return b"".join(outputs)


def take_precedence() -> None:
    """Raise the priority of this process as far as the system permits.

    With eight busy programs on two cores, the fastest of 40 runs of a 10 ms model takes 11 ms with
    this priority and 21 ms without. The system still reserves a share of every second for others.
    """
    with contextlib.suppress(AttributeError, OSError):  # not on Linux, or not permitted
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(REALTIME))


def is_realtime() -> bool:
    """Whether this process has real-time priority, so that other programs cannot interrupt it."""
    return hasattr(os, "SCHED_FIFO") and os.sched_getscheduler(0) == os.SCHED_FIFO


def main() -> None:
    """Serve requests until standard input ends."""
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
    calibration = CalibrationModels(interpreter_class)
    while True:
        try:
            request, data = read_message(0)
        except PipeClosed:
            return
        # ends this process should a model hang after the parent was killed
        signal.alarm(int(request["timeout_s"]) + 30)
        answer: dict[str, Any] = {}
        outputs = b""
        try:
            if "inputs" in request:
                outputs = compute(interpreter_class, data, request)
            elif "calibration_model" in request:
                calibration.load(
                    request["calibration_model"], data, request["cores"], request["threads"]
                )
            else:
                answer = time_model(interpreter_class, data, request, calibration)
        except Exception as error:
            answer = {"rejected": f"{type(error).__name__}: {error}"}
        signal.alarm(0)
        del data
        gc.collect()
        write_message(answers, answer, outputs)


if __name__ == "__main__":
    main()
