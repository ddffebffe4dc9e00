#!/usr/bin/python3 -IS
"""A genuine runner for the emulated arm64 phone: LiteRT's arm64 library by its C interface, with
XNNPACK, called and answering like the classic benchmark_model.

Where the folder OUTPUTS exists it also writes there, under the model's name, what the model
computes from inputs that a rule gives, and in NAME.inner how many of its tensors XNNPACK keeps
to itself. As few imports as can be: qemu makes each of them slow.
"""

import os
import sys
import time
from ctypes import CDLL, POINTER, c_float, c_size_t, c_void_p, cast, string_at

OUTPUTS = "/data/local/tmp/outputs"
HELP = """usage: benchmark_model
\t--graph=\tstring\trequired\tgraph file name
\t--num_runs=50\tint32\toptional\texpected number of runs
\t--min_secs=1\tfloat\toptional\tminimum number of seconds to rerun for
\t--warmup_runs=1\tint32\toptional\tminimum number of runs performed on initialization
"""
POINTERS = (
    *("TfLiteXNNPackDelegateCreate", "TfLiteModelCreateFromFile", "TfLiteInterpreterCreate"),
    *("TfLiteInterpreterOptionsCreate", "TfLiteInterpreterGetTensor", "TfLiteTensorData"),
    *("TfLiteInterpreterGetInputTensor", "TfLiteInterpreterGetOutputTensor"),
)
LITERT = CDLL("libLiteRt.so")
for name in POINTERS:
    getattr(LITERT, name).restype = c_void_p
LITERT.TfLiteTensorByteSize.restype = c_size_t


def there(pointer: "int | None", what: str) -> c_void_p:
    """The pointer, or the end of the program."""
    if not pointer:
        sys.exit(f"ERROR: {what}")
    return c_void_p(pointer)


def open_model(path: str) -> c_void_p:
    model = there(LITERT.TfLiteModelCreateFromFile(path.encode()), "Failed to load model")
    options = c_void_p(LITERT.TfLiteInterpreterOptionsCreate())
    delegate = there(LITERT.TfLiteXNNPackDelegateCreate(None), "XNNPACK does not run here")
    LITERT.TfLiteInterpreterOptionsAddDelegate(options, delegate)
    opened = LITERT.TfLiteInterpreterCreate(model, options)
    interpreter = there(opened, "failed to prepare the model")
    if LITERT.TfLiteInterpreterAllocateTensors(interpreter) != 0:
        sys.exit("ERROR: failed to allocate tensors")
    return interpreter


def tensors(interpreter: c_void_p, which: str) -> "list[c_void_p]":
    """Its `Input` or `Output` tensors."""
    count = getattr(LITERT, f"TfLiteInterpreterGet{which}TensorCount")(interpreter)
    get = getattr(LITERT, f"TfLiteInterpreterGet{which}Tensor")
    return [c_void_p(get(interpreter, i)) for i in range(count)]


def fill(interpreter: c_void_p) -> None:
    """Inputs by the rule of the tests, exact in float32."""
    for tensor in tensors(interpreter, "Input"):
        values = cast(LITERT.TfLiteTensorData(tensor), POINTER(c_float))
        for i in range(LITERT.TfLiteTensorByteSize(tensor) // 4):
            values[i] = (i * 37 % 101 - 50) / 32


def invoke(interpreter: c_void_p) -> float:
    """Microseconds of a run."""
    start = time.perf_counter_ns()
    if LITERT.TfLiteInterpreterInvoke(interpreter) != 0:
        sys.exit("ERROR: Failed to invoke")
    return (time.perf_counter_ns() - start) / 1e3


def run(interpreter: c_void_p, runs: int, seconds: float) -> None:
    print(f"INFO: Running benchmark for at least {runs} iterations and at least {seconds} seconds")
    taken: list[float] = []
    while len(taken) < runs or sum(taken) < seconds * 1e6:
        taken.append(invoke(interpreter))
    if len(taken) < 2:
        print(f"INFO: count={len(taken)} curr={taken[-1]:.3f}")
        return
    mean = sum(taken) / len(taken)
    print(
        f"INFO: count={len(taken)} first={taken[0]:.3f} curr={taken[-1]:.3f} "
        f"min={min(taken):.3f} max={max(taken):.3f} avg={mean:.3f} std=0 "
        f"median={sorted(taken)[len(taken) // 2]:.3f}"
    )


def write_outputs(interpreter: c_void_p, name: str) -> None:
    inner, index = 0, 0
    while tensor := LITERT.TfLiteInterpreterGetTensor(interpreter, index):
        inner += LITERT.TfLiteTensorData(c_void_p(tensor)) is None  # no memory in LiteRT's arena
        index += 1
    with open(f"{OUTPUTS}/{name}.part", "wb") as file:
        for tensor in tensors(interpreter, "Output"):
            size = LITERT.TfLiteTensorByteSize(tensor)
            file.write(string_at(LITERT.TfLiteTensorData(tensor), size))
    with open(f"{OUTPUTS}/{name}.inner", "w") as file:
        file.write(f"{inner}\n")
    os.rename(f"{OUTPUTS}/{name}.part", f"{OUTPUTS}/{name}")


def main(arguments: "list[str]") -> None:
    if "--help" in arguments:
        print(HELP)
        return
    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments)
    interpreter = open_model(given["graph"])
    fill(interpreter)
    run(interpreter, int(given["warmup_runs"]), 0.0)
    run(interpreter, int(given["num_runs"]), float(given["min_secs"]))
    if os.path.isdir(OUTPUTS):
        write_outputs(interpreter, os.path.basename(given["graph"]))


if __name__ == "__main__":
    main(sys.argv[1:])
